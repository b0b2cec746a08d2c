"""Accuracies of inherited weights: what networks of a supernet are worth without training them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from metad2a.data.image_set import ImageSet
from metad2a.errors import CheckpointError, ConfigError, DataError
from metad2a.fitting.network import LabelledImages, normalizer
from metad2a.fitting.recipe import InheritedRecipe
from metad2a.fitting.supernet import CALIBRATION_IMAGES, Inherited, measure_inherited
from metad2a.fitting.supernet_file import SUFFIX, TrainedSupernet
from metad2a.fitting.supernet_ofa import read_ofa_supernet
from metad2a.runtime import torch_rng
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobile import MobileSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3


def open_supernet(path: str | Path, *, width: int | None = None) -> TrainedSupernet:
    """Open a file of ``metad2a train supernet`` (``.safetensors``), or weights that Once-for-All published.

    Args:
        path: of the file.
        width: that its networks must have, in percent; any when None.

    Raises:
        CheckpointError: see ``TrainedSupernet.load`` and ``read_ofa_supernet``, or the networks have another width.
    """
    if Path(path).suffix != SUFFIX:
        return read_ofa_supernet(path, width=width)
    return TrainedSupernet.load(path).of_width(width)


def inherited_recipe(content: Mapping[str, Any]) -> InheritedRecipe:
    """Return the recipe of labels by inherited weights.

    Args:
        content: ``supernet``, the file, and other fields of ``InheritedRecipe``; resolution and size of the
            networks are the supernet's, and if a width is given it must be that.

    Raises:
        CheckpointError: see ``open_supernet``.
        ConfigError: there is no ``supernet``, or a value cannot be used.
        UnknownNameError: a key is no field.
    """
    recipe = InheritedRecipe.from_dict(content)
    if not recipe.supernet:
        raise ConfigError(
            f"recipe '{recipe.name}': no supernet is given. Set recipe.supernet to a file of "
            "`metad2a train supernet`, or to weights that Once-for-All published."
        )
    supernet = open_supernet(recipe.supernet, width=recipe.scale.get("width"))
    return replace(
        recipe,
        supernet=supernet.fingerprint,
        resolution=supernet.resolution,
        scale=dict(supernet.net.size),
        place=str(Path(recipe.supernet).absolute()),
    )


def supernet_of(recipe: InheritedRecipe) -> TrainedSupernet:
    """Return the supernet that ``recipe`` is about; the last one is kept.

    Raises:
        CheckpointError: it is not where the recipe says, or another one lies there.
    """
    supernet = _opened(recipe.place)
    if supernet.fingerprint != recipe.supernet:
        raise CheckpointError(
            f"{recipe.place} has the fingerprint {supernet.fingerprint}, not {recipe.supernet}: it is another "
            "supernet. Give the file that the labels were begun with."
        )
    return supernet


@lru_cache(maxsize=1)
def _opened(place: str) -> TrainedSupernet:
    return open_supernet(place)


class SupernetOracle:
    """Accuracies of mobile networks with weights inherited from a supernet.

    A network takes the rows of the head for the classes of the data set, the statistics of its normalisations are
    measured on training images, and it classifies those validation images that the supernet was not trained on.

    Args:
        supernet: whose weights.
        train: images for the statistics, of ``supernet.resolution``.
        valid: images to measure on.
        classes: names of the classes of both, all of which the supernet was trained on.
        space: of the architectures; ``MobileNetV3`` when None.
        calibration: how many images the statistics are measured on, at most.

    Raises:
        DataError: there are no images that the supernet has not seen, or too few for the statistics.
        UnknownNameError: the supernet was not trained on one of the classes.
    """

    def __init__(
        self,
        supernet: TrainedSupernet,
        train: LabelledImages,
        valid: LabelledImages,
        classes: Sequence[str],
        *,
        space: MobileSpace | None = None,
        calibration: int = CALIBRATION_IMAGES,
    ) -> None:
        self.name = f"supernet:{supernet.fingerprint}"
        self._net, self._rows = supernet.net, supernet.rows(classes)
        self.resolution, self.scale = supernet.resolution, dict(supernet.net.size)
        self._space = space or MobileNetV3()
        fresh = torch.from_numpy(~supernet.has_seen(valid.images))
        if len(train) < 2 or not fresh.any():
            raise DataError(
                f"accuracies of inherited weights need two images for statistics and one to measure on; given are "
                f"{len(train)} and {len(valid)}, of which the supernet was trained on {int((~fresh).sum())}. "
                "Give images that were held out from its training."
            )
        self._train, self._calibration = train, calibration
        self._valid = LabelledImages(valid.images[fresh], valid.labels[fresh])
        self._normalize = normalizer(torch.tensor(supernet.mean), torch.tensor(supernet.std), torch.device("cpu"))

    @classmethod
    def of(
        cls, supernet: TrainedSupernet, train: ImageSet, valid: ImageSet, *, space: MobileSpace | None = None
    ) -> "SupernetOracle":
        """Return the oracle of a data set; ``train`` and ``valid`` have the same classes.

        Raises:
            DataError: an image cannot be read, or see the class.
            UnknownNameError: see the class.
        """
        supernet.rows(valid.classes)  # told before images are read
        learned, measured = (LabelledImages.of(part, supernet.resolution) for part in (train, valid))
        return cls(supernet, learned, measured, valid.classes, space=space)

    @classmethod
    def on(
        cls, supernet: TrainedSupernet, images: ImageSet, *, space: MobileSpace | None = None
    ) -> "SupernetOracle":
        """Return the oracle of all ``images``: statistics of those that were trained on, accuracies on the others.

        Where none was, half of every class is for the statistics.

        Raises:
            DataError: an image cannot be read, a class has fewer than two, or see the class.
            UnknownNameError: see the class.
        """
        supernet.rows(images.classes)
        loaded = LabelledImages.of(images, supernet.resolution)
        seen = torch.from_numpy(supernet.has_seen(loaded.images))
        if not seen.any():
            valid, train = images.split(0.5, 0)
            return cls.of(supernet, train, valid, space=space)
        train_part, valid_part = (
            LabelledImages(loaded.images[chosen], loaded.labels[chosen]) for chosen in (seen, ~seen)
        )
        return cls(supernet, train_part, valid_part, images.classes, space=space)

    @property
    def images(self) -> int:
        """How many images accuracies are measured on."""
        return len(self._valid)

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """See ``metad2a.oracles.base.Oracle.evaluate``; ``seed`` decides which images make the statistics.

        Raises:
            ArchitectureError: one of them is none of the space.
        """
        return np.array([one.accuracy for one in self.measure(archs, seed=seed)], dtype=np.float64)

    def measure(self, archs: Sequence[Architecture], *, seed: int = 0) -> list[Inherited]:
        """Return accuracy and loss of each; arguments and errors are those of ``evaluate``."""
        networks = {self._space.canonical(arch): self._space.layers(arch) for arch in archs}
        order = torch.randperm(len(self._train), generator=torch_rng("calibration", seed))
        calibration = self._normalize(self._train.images[order[: self._calibration]])
        known = {
            text: measure_inherited(self._net, layers, calibration, self._valid, self._normalize, self._rows)
            for text, layers in networks.items()
        }
        return [known[self._space.canonical(arch)] for arch in archs]
