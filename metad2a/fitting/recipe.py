"""A recipe: everything that decides what accuracy a network gets, apart from the images and the seed."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, get_args

from metad2a.errors import ConfigError, unknown_name

SCHEDULES = ("cosine", "one_cycle")
POLICIES = ("cifar10", "imagenet", "svhn")
"""What AutoAugment learned on which images; the names that torchvision has."""
_OPTIONAL = ("cutout", "auto_augment", "drop_path", "dropout", "clip_norm")
_INHERITED = ("name", "supernet", "calibration", "resolution")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained by stochastic gradient descent.

    Attributes:
        name: for people; two recipes that differ only in it are the same.
        epochs: passes over the training images, or over ``images_per_epoch`` of them.
        batch_size: images a step; the incomplete last batch of an epoch is left out.
        learning_rate: its largest value.
        momentum: with ``one_cycle``, its largest value (it falls while the learning rate rises).
        weight_decay: of every parameter.
        nesterov: whether momentum looks ahead.
        schedule: ``cosine`` falls to zero; ``one_cycle`` is the 1cycle policy (Smith and Topin, 2018).
        warmup: fraction of all steps in which the learning rate rises.
        label_smoothing: probability given to the wrong classes together.
        flip: mirror half of the training images.
        crop_padding: pixels of black added on each side before a random crop; 0 crops nothing.
        images_per_epoch: images that make an epoch; small sets are passed over several times, of large ones each
            epoch sees a part, so that every set gets the same number of steps. None: all training images, once.
        resolution: pixels a side of the images.
        scale: the space's size options for its networks (NAS-Bench-201: ``channels``, ``cells``).
        cutout: pixels a side of a square that is painted over at a random place (DeVries and Taylor, 2017).
        auto_augment: whose transformations images get: ``cifar10``, ``imagenet`` or ``svhn`` (Cubuk et al.,
            "AutoAugment", CVPR 2019). It needs torchvision.
        drop_path: chance that an image passes by the last residual block; that of the others rises linearly to it
            (Huang et al., "Deep Networks with Stochastic Depth", ECCV 2016).
        dropout: chance of each feature before the classifier to be left out.
        clip_norm: largest norm of the gradient.

    The last five do nothing where they are None or 0.

    Raises:
        ConfigError: a value cannot be used.
    """

    name: str
    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float = 0.9
    weight_decay: float = 5e-4
    nesterov: bool = True
    schedule: str = "cosine"
    warmup: float = 0.0
    label_smoothing: float = 0.0
    flip: bool = False
    crop_padding: int = 0
    images_per_epoch: int | None = None
    resolution: int = 32
    scale: dict[str, int] = field(default_factory=dict, hash=False)
    cutout: int | None = None
    auto_augment: str | None = None
    drop_path: float | None = None
    dropout: float | None = None
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        self._check_ranges()
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.name in _OPTIONAL and not value:  # 0 does nothing, as None
                object.__setattr__(self, entry.name, None)
            elif value is not None and entry.type in (float, float | None):
                object.__setattr__(self, entry.name, float(value))  # 1 and 1.0 have the same fingerprint
        object.__setattr__(self, "scale", dict(self.scale))

    def _check_ranges(self) -> None:
        rules = {
            "name": (bool(self.name), "a text that is not empty"),
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 2, "at least 2 (batch normalisation needs two images)"),
            "learning_rate": (0 < self.learning_rate < float("inf"), "positive and finite"),
            "momentum": (0 <= self.momentum < 1, "in [0, 1)"),
            "weight_decay": (0 <= self.weight_decay < float("inf"), "0 or more"),
            "nesterov": (not self.nesterov or self.momentum > 0, "false when momentum is 0"),
            "schedule": (self.schedule in SCHEDULES, f"one of {', '.join(SCHEDULES)}"),
            "warmup": (0 <= self.warmup < 1, "a fraction in [0, 1)"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "in [0, 1)"),
            "crop_padding": (self.crop_padding >= 0, "0 or more"),
            "images_per_epoch": (
                self.images_per_epoch is None or self.images_per_epoch >= self.batch_size,
                "null, or at least batch_size",
            ),
            "resolution": (self.resolution >= 1, "at least 1"),
            "scale": (all(size >= 1 for size in self.scale.values()), "sizes of at least 1"),
            "cutout": (0 <= (self.cutout or 0) < self.resolution, "null, or 0 or more, and below resolution"),
            "auto_augment": (self.auto_augment in (None, *POLICIES), f"null, or one of {', '.join(POLICIES)}"),
            "drop_path": (0 <= (self.drop_path or 0) < 1, "null, or in [0, 1)"),
            "dropout": (0 <= (self.dropout or 0) < 1, "null, or in [0, 1)"),
            "clip_norm": (0 <= (self.clip_norm or 0) < float("inf"), "null, or 0 or more, and finite"),
        }
        for name, (good, rule) in rules.items():
            if not good:
                raise ConfigError(f"recipe '{self.name}': {name} is {getattr(self, name)!r}, but must be {rule}.")

    @property
    def fingerprint(self) -> str:
        """Sixteen hexadecimal digits that depend on every field but the name."""
        content = self.to_dict()
        del content["name"]
        # Recipes written before a field was there are still the same recipes.
        content = {key: value for key, value in content.items() if value is not None}
        text = json.dumps(content, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Return plain data from which ``from_dict`` makes the same recipe."""
        return asdict(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Recipe":
        """Return the recipe that ``content`` describes.

        Raises:
            UnknownNameError: a key is no field of a recipe.
            ConfigError: a field is missing or cannot be used.
        """
        if "supernet" in content:
            return InheritedRecipe.from_dict(content)
        known = [entry.name for entry in fields(cls)]
        for key in content:
            if key not in known:
                raise unknown_name("recipe field", str(key), known)
        needed = ("name", "epochs", "batch_size", "learning_rate")
        missing = [name for name in needed if name not in content]
        if missing:
            raise ConfigError(f"the recipe lacks {', '.join(missing)}. Every recipe needs {', '.join(needed)}.")
        types = {entry.name: entry.type for entry in fields(cls)}
        return cls(**{key: _typed(key, value, types[key]) for key, value in content.items()})


@dataclass(frozen=True)
class InheritedRecipe(Recipe):
    """How a network gets its accuracy from the weights of a supernet: nothing is trained.

    Attributes:
        supernet: fingerprint of the supernet, see ``TrainedSupernet.fingerprint``.
        calibration: how many training images the statistics of normalisations are measured on, at most.
        place: where this machine has the supernet; it is no part of the recipe.
    """

    epochs: int = 0
    batch_size: int = 0
    learning_rate: float = 0.0
    supernet: str = ""
    calibration: int = 1024
    place: str = field(default="", compare=False)

    def _check_ranges(self) -> None:
        if not self.name or self.calibration < 2:
            raise ConfigError(
                f"recipe '{self.name}': calibration is {self.calibration}, but must be at least 2 images, and the "
                "name must not be empty."
            )

    def to_dict(self) -> dict[str, Any]:
        """See ``Recipe.to_dict``."""
        return {name: getattr(self, name) for name in _INHERITED} | {"scale": dict(self.scale)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "InheritedRecipe":
        """See ``Recipe.from_dict``."""
        for key in content:
            if key not in (*_INHERITED, "scale"):
                raise unknown_name("field of a recipe with a supernet", str(key), (*_INHERITED, "scale"))
        types = {entry.name: entry.type for entry in fields(cls)}
        given = {"name": "inherited"} | dict(content)
        return cls(**{key: _typed(key, value, types[key]) for key, value in given.items()})


def _typed(field_name: str, value: Any, expected: Any) -> Any:
    """Return ``value`` as the field wants it; data from files can hold anything."""
    kind: Any = expected
    if type(None) in get_args(expected):
        if value is None:
            return None
        expected = kind = get_args(expected)[0]
    if field_name == "scale":
        good = isinstance(value, Mapping) and all(
            isinstance(key, str) and type(size) is int for key, size in value.items()
        )
        wanted, kind = "a mapping from names to whole numbers", dict
    elif expected is float:
        good, wanted = type(value) in (int, float), "a number"
    else:
        good = type(value) is expected
        wanted = {int: "a whole number", bool: "true or false", str: "a text"}[expected]
    if not good:
        raise ConfigError(f"recipe: {field_name} is {value!r}, but must be {wanted}.")
    return kind(value)
