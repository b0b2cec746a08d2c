"""What every space of mobile networks must satisfy beside, as a pytest class."""

import itertools
from typing import ClassVar

import numpy as np
import pytest

from metad2a.spaces.base import Architecture
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.networks.mobilenetv3 import DEPTHS, EXPANSIONS, KERNELS, LAYERS, STAGES
from metad2a.spaces.networks.supernet import Supernet
from metad2a.testing.spaces import SearchSpaceContract


class MobileSpaceContract(SearchSpaceContract):
    """The tests of a space of mobile networks, those of every space among them; see ``SearchSpaceContract``."""

    scale: ClassVar[dict[str, int]] = {"width": 10, "downsampling": 8}
    resolution = 16

    @pytest.fixture
    def space(self) -> MobileSpace:
        raise NotImplementedError("give the class a fixture `space` that returns the space to test")

    def test_stages_are_positions(self, space: MobileSpace, archs: list[Architecture]) -> None:
        for some in (archs, []):
            depths, kernels, expansions = space.stages(some)
            assert depths.shape == (len(some), STAGES)
            assert kernels.shape == expansions.shape == (len(some), STAGES, LAYERS)
            for table, options in ((depths, DEPTHS), (kernels, KERNELS), (expansions, EXPANSIONS)):
                assert table.dtype == np.int64
                assert bool(((table >= 0) & (table < len(options))).all()), "this is a position in no option"

    def test_architectures_with_one_canonical_text_have_the_same_layers(
        self, space: MobileSpace, archs: list[Architecture]
    ) -> None:
        """Supernets measure those once."""
        several = itertools.chain(archs, *map(space.neighbours, archs[:4]))
        layers: dict[str, list[list[tuple[int, int]]]] = {}
        for arch in several:
            assert layers.setdefault(space.canonical(arch), space.layers(arch)) == space.layers(arch)

    def test_networks_take_the_weights_of_a_supernet(self, space: MobileSpace, archs: list[Architecture]) -> None:
        supernet = Supernet(self.num_classes, **self.scale)
        for arch in archs[:2]:
            weights = supernet.inherited(space.layers(arch))
            space.build(arch, self.num_classes, **self.scale).load_state_dict(weights)
