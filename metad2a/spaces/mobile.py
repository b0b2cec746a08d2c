"""Spaces of mobile networks, however they write their architectures."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Int64

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.networks.memory import mobile_network_memory
from metad2a.spaces.networks.mobilenetv3 import DEPTHS, DOWNSAMPLING, EXPANSIONS, KERNELS, MobileNetV3Network
from metad2a.spaces.networks.mobilenetv3_costs import count_flops, count_params
from metad2a.spaces.networks.mobilenetv3_source import mobile_network_source
from metad2a.spaces.scale import checked_scale

DEFAULT_SCALE = {"width": 100, "downsampling": DOWNSAMPLING}


class MobileSpace(SearchSpace):
    """A space of mobile networks: of parts of the largest network of Once-for-All, see ``MobileNetV3Network``.

    A space says by ``stages`` which parts; its networks and what they cost follow. What knows such networks by
    their layers works with every space of them, whatever its name and its code: supernets, tables of the latencies
    of layers, and the published accuracy predictor.

    The networks have the scale option ``width``: channels of all layers, in percent of Once-for-All's first
    network, rounded to multiples of eight (default 100; Once-for-All published 120 as well). They are made for
    224 pixels, and take images of any resolution; for small ones there is ``downsampling``, the pixels a side of
    the image that become one (default 32; 16, 8, 4, 2 and 1 leave out halvings).
    """

    resolution = 224

    @abstractmethod
    def stages(
        self, archs: Sequence[Architecture]
    ) -> tuple[Int64[np.ndarray, "B 5"], Int64[np.ndarray, "B 5 4"], Int64[np.ndarray, "B 5 4"]]:
        """Return what the networks of ``archs`` are made of.

        These are the depths of the stages, and the kernels and the expansions of their layers, as positions in
        ``DEPTHS``, ``KERNELS`` and ``EXPANSIONS`` of ``metad2a.spaces.networks.mobilenetv3``; those of layers
        beyond a depth do not matter.

        Raises:
            ArchitectureError: one of ``archs`` is none of this space.
        """

    def layers(self, arch: Architecture) -> list[list[tuple[int, int]]]:
        """Return the kernel and the expansion of each layer in use, by stage: what its network is built of.

        Raises:
            ArchitectureError: ``arch`` is none of this space.
        """
        depths, kernels, expansions = (table[0].tolist() for table in self.stages([arch]))
        return [
            [(KERNELS[k], EXPANSIONS[e]) for k, e in list(zip(*blocks, strict=True))[: DEPTHS[depth]]]
            for depth, *blocks in zip(depths, kernels, expansions, strict=True)
        ]

    def size_options(self, scale: Mapping[str, int], num_classes: int, resolution: int = 1) -> dict[str, int]:
        """Return all scale options, those given and the defaults of the others.

        Raises:
            ArchitectureError: an option is unknown, or a number cannot be used.
        """
        size = checked_scale(self.name, DEFAULT_SCALE, scale, num_classes=num_classes, resolution=resolution)
        if DOWNSAMPLING % size["downsampling"]:
            raise ArchitectureError(
                f"a network of '{self.name}' cannot have downsampling={size['downsampling']}. "
                f"Give 1, 2, 4, 8, 16 or {DOWNSAMPLING}."
            )
        return size

    def build(self, arch: Architecture, num_classes: int, **scale: int) -> MobileNetV3Network:
        """Return the freshly initialised network of ``arch``: (B, 3, height, width) images -> (B, num_classes).

        The weights come from torch's global random stream, as those of every module of torch.

        Args:
            arch: what to build.
            num_classes: outputs.
            scale: ``width`` and ``downsampling``, see the class.

        Raises:
            ArchitectureError: ``arch`` is none of this space, or the network cannot have this size.
        """
        size = self.size_options(scale, num_classes)
        return MobileNetV3Network(self.layers(arch), num_classes, **size)

    def source(self, arch: Architecture, num_classes: int, **scale: int) -> str:
        """Return code that defines ``class Network``, the network of ``arch``; see ``SearchSpace.source``.

        Raises:
            ArchitectureError: as for ``build``.
        """
        size = self.size_options(scale, num_classes)
        return mobile_network_source(self.layers(arch), num_classes, **size)

    def params(self, archs: Sequence[Architecture], num_classes: int, **scale: int) -> Int64[np.ndarray, " B"]:
        """Return the number of trainable parameters of each network, without building any.

        Raises:
            ArchitectureError: as for ``build``.
        """
        size = self.size_options(scale, num_classes)
        return count_params(*self.stages(archs), num_classes, width=size["width"])

    def flops(
        self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int
    ) -> Int64[np.ndarray, " B"]:
        """Return the multiply-adds of one image of ``resolution`` pixels a side, without building any.

        Convolutions, those of squeeze-and-excitation among them, and the classifier count; normalisation,
        activations, pooling, gates and sums do not.

        Raises:
            ArchitectureError: as for ``build``, or ``resolution`` is less than one pixel.
        """
        size = self.size_options(scale, num_classes, resolution)
        depths, kernels, expansions = self.stages(archs)
        return count_flops(depths, kernels, expansions, num_classes, resolution, **size)

    def memory(
        self, archs: Sequence[Architecture], num_classes: int, resolution: int, **scale: int
    ) -> Int64[np.ndarray, " B"]:
        """Return the bytes of one forward pass of one image (weights and live results), without building any.

        Raises:
            ArchitectureError: as for ``flops``.
        """
        size = self.size_options(scale, num_classes, resolution)
        depths, kernels, expansions = self.stages(archs)
        return mobile_network_memory(depths, kernels, expansions, num_classes, resolution, **size)
