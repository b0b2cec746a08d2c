"""Trained models in a file: safetensors, with everything needed to use them in its JSON header.

Such a file holds no code: opening one that somebody else made is safe.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor, nn

import metad2a
from metad2a.data.embedders.base import Embedder
from metad2a.errors import CheckpointError, unknown_name
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.models.reference import Reference
from metad2a.models.surrogate import Surrogate
from metad2a.tensor_file import read_tensors, write_tensors

SCHEMA_VERSION = 1
SUFFIX = ".safetensors"
Model = Generator | Predictor | Surrogate
MODELS: dict[str, type[Generator] | type[Predictor] | type[Surrogate]] = {
    "generator": Generator,
    "predictor": Predictor,
    "surrogate": Surrogate,
}
_HEADER = "metad2a"
_REFERENCE = "reference"  # stands where the name of a part does


class EmbedderInfo(TypedDict):
    """What made the features that the models were trained on."""

    name: str
    fingerprint: str
    dim: int


class Target(TypedDict):
    """Accuracy in percent is ``mean + std * score``."""

    mean: float
    std: float


@dataclass(frozen=True)
class Part:
    """One trained model: what rebuilds it and its weights."""

    config: dict[str, Any]
    state: dict[str, Tensor]

    @classmethod
    def of(cls, model: "Model") -> "Part":
        """Return a copy of ``model`` as it is now, on the CPU."""
        state = {
            name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in model.state_dict().items()
        }
        return cls(dict(model.config), state)


@dataclass(frozen=True)
class Checkpoint:
    """One or both trained models of a search space.

    Attributes:
        parts: by name, ``generator``, ``predictor`` and ``surrogate``; further predictors, the members of an
            ensemble, are ``predictor-2`` and so on.
        space: name of the search space.
        topology: the edges that every graph of the training had, as ``(u, v)``; None if they varied.
        embedder: of the features.
        images_per_class: of the sets in training.
        target: of the (first) predictor's scores; None if unknown or there is no predictor.
        train_archs: texts of the architectures seen in training; what is not among them is novel.
        metrics: measured in training, by name.
        provenance: where it comes from: data, seeds, version, date.
        reference: the classes and tasks of the training; None where nobody noted them.
    """

    parts: dict[str, Part]
    space: str
    topology: Sequence[Sequence[int]] | None
    embedder: EmbedderInfo
    images_per_class: int
    target: Target | None = None
    train_archs: tuple[str, ...] = ()
    metrics: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    reference: Reference | None = None

    def save(self, path: str | Path) -> None:
        """Write the file, atomically.

        Raises:
            CheckpointError: ``path`` does not end in ``.safetensors``.
            OutputError: it cannot be written.
            TypeError: a value is not JSON.
        """
        _check_suffix(Path(path))
        header = {
            "schema_version": SCHEMA_VERSION,
            "metad2a_version": metad2a.__version__,
            "parts": {name: part.config for name, part in self.parts.items()},
        } | {name: getattr(self, name) for name in _FIELDS}
        tensors = {
            f"{name}.{key}": tensor for name, part in self.parts.items() for key, tensor in part.state.items()
        }
        if self.reference is not None:
            header[_REFERENCE] = self.reference.header()
            tensors |= {f"{_REFERENCE}.{key}": tensor for key, tensor in self.reference.tensors().items()}
        write_tensors(path, _HEADER, header, tensors)

    @classmethod
    def load(cls, path: str | Path) -> "Checkpoint":
        """Read a file that ``save`` wrote.

        Raises:
            CheckpointError: there is none, or it is another file, of a newer version, or damaged.
        """
        path = Path(path)
        _check_suffix(path)
        header, tensors = _read(path)
        try:
            parts = {name: Part(config, tensors[name]) for name, config in header["parts"].items()}
            values = {name: header[name] for name in _FIELDS}
            values["train_archs"] = tuple(values["train_archs"])
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path}: the header is damaged ({error!r}). Get the file again.") from error
        try:
            for name in parts:
                _check_fit(name, empty_model(name, parts[name].config), parts[name].state)
            reference = None
            if _REFERENCE in header:
                reference = Reference.restore(header[_REFERENCE], tensors.get(_REFERENCE, {}))
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
        return cls(parts=parts, **values, reference=reference)

    def build(self, part: str) -> Any:
        """Return the model of ``part`` with its weights, in evaluation mode.

        Raises:
            CheckpointError: there is no such part, or its weights do not fit its configuration.
        """
        if part not in self.parts:
            held = f"a {' and a '.join(self.parts)} only" if self.parts else "no model"
            raise CheckpointError(f"the checkpoint holds {held}; give the {part}'s file too.")
        return build_model(part, self.parts[part])

    def check(
        self,
        *,
        space: str | None = None,
        option: str = "space=",
        embedder: Embedder | None = None,
        embedder_fingerprint: str | None = None,
    ) -> None:
        """Refuse to be used for another search space, or with features of another embedder.

        Args:
            space: name of the search space.
            option: what names a space to who asks, up to its name.
            embedder: of the features.
            embedder_fingerprint: of the features, where the embedder itself is not at hand.

        Raises:
            CheckpointError: it says which one the checkpoint is for.
        """
        if space is not None and space != self.space:
            raise CheckpointError(
                f"the checkpoint is for the search space '{self.space}', not for '{space}'. "
                f"Use {option}{self.space}, or a checkpoint for '{space}'."
            )
        if embedder is not None:
            embedder_fingerprint = embedder.fingerprint
        if embedder_fingerprint not in (None, self.embedder["fingerprint"]):
            other = f"'{embedder.name}'" if embedder else "another embedder"
            same = embedder is not None and embedder.name == self.embedder["name"]
            give = (
                "Give it the weights of the training (docs/how-to/choose-an-embedder.md says how)"
                if same
                else f"Embed the images with '{self.embedder['name']}'"
            )
            raise CheckpointError(
                f"the checkpoint was trained on features of the embedder '{self.embedder['name']}' "
                f"({self.embedder['fingerprint']}), these are of {other} ({embedder_fingerprint}). "
                f"{give}, or train on the new features."
            )

    @classmethod
    def joined(cls, *paths: str | Path) -> "Checkpoint":
        """Read one file, or several that hold the models of one checkpoint, see ``merge``.

        Raises:
            CheckpointError: a file is unusable, or they do not belong together.
        """
        return reduce(cls.merge, (cls.load(Path(path)) for path in paths))

    @staticmethod
    def merge(a: "Checkpoint", b: "Checkpoint") -> "Checkpoint":
        """Return the checkpoint that holds the models of both; several predictors become an ensemble.

        Raises:
            CheckpointError: they hold the same other model, or are of other spaces or embedders.
        """
        if "generator" in b.parts:
            a, b = b, a
        target = a.target if "predictor" in a.parts else b.target or a.target
        b = b._renumbered(sum(kind_of(name) == "predictor" for name in a.parts))
        if not a.parts or not b.parts or {*a.parts} & {*b.parts}:
            held = " and ".join("+".join(sorted(c.parts)) or "nothing" for c in (a, b))
            raise CheckpointError(
                f"the two checkpoints hold {held}. Give one generator and a predictor or several (or a surrogate)."
            )
        if a.space != b.space:
            raise CheckpointError(
                f"the checkpoints of {'+'.join(sorted(a.parts))} and {'+'.join(sorted(b.parts))} are for different "
                f"search spaces, '{a.space}' and '{b.space}'. Give files of one space."
            )
        a.check(embedder_fingerprint=b.embedder["fingerprint"])
        return Checkpoint(
            parts={**a.parts, **b.parts},
            space=a.space,
            topology=a.topology,
            embedder=a.embedder,
            # One set is drawn for both, and more images say more.
            images_per_class=max(a.images_per_class, b.images_per_class),
            target=target,
            train_archs=tuple(dict.fromkeys([*a.train_archs, *b.train_archs])),
            metrics={**a.metrics, **b.metrics},
            provenance={**a.provenance, **b.provenance},
            # What is predicted depends on the predictor's tasks.
            reference=b.reference or a.reference,
        )

    @property
    def ranking(self) -> str:
        """The name of the model that ranks: a surrogate where there is one."""
        return "surrogate" if "surrogate" in self.parts else "predictor"

    @property
    def label_recipes(self) -> dict[str, str]:
        """The recipes of the labels that ``ranking`` learned from, by fingerprint; empty where nobody noted any."""
        return dict(self.provenance.get(self.ranking, {}).get("recipe") or {})

    def for_recipe(self, name: str) -> "Checkpoint":
        """Return the checkpoint that predicts what networks trained by ``name`` are good for.

        Args:
            name: one of the recipes whose labels the models learned from.

        Raises:
            CheckpointError: the models learned from labels of one other recipe alone.
            UnknownNameError: there is no such recipe.
        """
        told = {key: part.config["recipes"] for key, part in self.parts.items() if part.config.get("recipes")}
        if not told:
            known = self.label_recipes
            if name in {*known, *known.values()}:
                return self
            own = f", '{', '.join(known.values())}'" if known else " and does not say which"
            raise CheckpointError(
                f"label recipe '{name}': the checkpoint learned from labels of one recipe{own}: there is "
                "nothing to choose. Leave it out."
            )
        for key, recipes in told.items():
            if name not in recipes:
                raise unknown_name(f"label recipe of the {key}", name, recipes)
        parts = {
            key: replace(part, config=part.config | {"recipe": name}) if key in told else part
            for key, part in self.parts.items()
        }
        target = self.target
        if target is not None and "predictor" in told:
            target = _moved(target, told["predictor"], self.parts["predictor"].config.get("recipe"), name)
        return replace(self, parts=parts, target=target)

    def _renumbered(self, before: int) -> "Checkpoint":
        """Return the checkpoint with its predictors numbered after ``before`` others."""
        names = [name for name in self.parts if kind_of(name) == "predictor"]
        number = {name: place for place, name in enumerate(names, start=before + 1)}
        new = {name: f"predictor-{place}" if place > 1 else "predictor" for name, place in number.items()}
        parts, metrics, provenance = (
            {new.get(name, name): value for name, value in values.items()}
            for values in (self.parts, self.metrics, self.provenance)
        )
        return replace(self, parts=parts, metrics=metrics, provenance=provenance)


_FIELDS = tuple(name for name in Checkpoint.__dataclass_fields__ if name not in ("parts", _REFERENCE))


def _moved(target: Target, recipes: Mapping[str, Sequence[float]], old: str | None, new: str) -> Target:
    """Return what scores mean under the recipe ``new``, where they keep their place among the accuracies."""
    (level, spread), (new_level, new_spread) = recipes[old or next(iter(recipes))], recipes[new]
    std = target["std"] * new_spread / spread
    return {"mean": new_level - std * (level - target["mean"]) / target["std"], "std": std}


def kind_of(part: str) -> str:
    """Return which of ``MODELS`` a part is: ``predictor`` of ``predictor-2``."""
    kind, _, number = part.partition("-")
    return kind if not number or (kind == "predictor" and number.isdecimal()) else part


def build_model(name: str, part: Part) -> Model:
    """Return the model of the part ``name`` with the weights of ``part``, in evaluation mode.

    Raises:
        CheckpointError: the configuration is none, or the weights do not fit it.
    """
    model = empty_model(name, part.config)
    _check_fit(name, model, part.state)
    # Copies: training the model must not change the part.
    model.load_state_dict({key: tensor.clone() for key, tensor in part.state.items()}, assign=True)
    return model.eval()


def empty_model(name: str, config: Mapping[str, Any]) -> Model:
    """Return the model of the part ``name`` without weights, on the meta device.

    Raises:
        CheckpointError: there is no such model, or the configuration is none.
    """
    if kind_of(name) not in MODELS:
        raise CheckpointError(f"it holds an unknown model '{name}'. Known: {', '.join(MODELS)}.")
    try:
        with torch.device("meta"):
            return MODELS[kind_of(name)](**config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"the configuration of the {name} cannot be used: {error}") from error


def _check_fit(name: str, model: nn.Module, state: Mapping[str, Tensor]) -> None:
    expected = {key: tuple(tensor.shape) for key, tensor in model.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in state.items()}
    faults = [f"missing {key}" for key in sorted(expected.keys() - found.keys())]
    faults += [f"unknown {key}" for key in sorted(found.keys() - expected.keys())]
    faults += [
        f"{key} is {found[key]} instead of {expected[key]}"
        for key in sorted(expected.keys() & found.keys())
        if expected[key] != found[key]
    ]
    if faults:
        raise CheckpointError(f"the tensors of the {name} do not fit its configuration: {'; '.join(faults)}.")


def _check_suffix(path: Path) -> None:
    if path.suffix != SUFFIX:
        raise CheckpointError(
            f"{path}: a checkpoint's name ends in {SUFFIX}. "
            "Official weights (.pt): `metad2a import checkpoint FILE OUT.safetensors` makes one of them."
        )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
    """Return the header, its version checked, and the tensors by part."""
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}.")
    header, found = read_tensors(
        path,
        _HEADER,
        newest=SCHEMA_VERSION,
        stranger="holds no checkpoint: metad2a did not write it as one.",
        error=CheckpointError,
    )
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in found.items():
        part, _, key = name.partition(".")
        tensors.setdefault(part, {})[key] = tensor
    return header, tensors
