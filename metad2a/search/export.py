"""Taking a network away: a folder with its Python code, its weights, an ONNX file and a card."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import metad2a
from metad2a.errors import CheckpointError, ConfigError
from metad2a.fitting.fitted import SUFFIX, Card, FittedNetwork, load_fitted
from metad2a.fitting.network import seeded
from metad2a.runtime import sha256, write_json, write_text
from metad2a.search.export_folder import CARD_FILE, KIND, new_folder
from metad2a.search.network_module import WEIGHTS_FILE, load_module, network_module
from metad2a.search.onnx_file import check_onnx, has_onnx, write_onnx
from metad2a.search.result import Candidate, SearchResult
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.registry import get_space

SCHEMA_VERSION = 1
MODULE_FILE, ONNX_FILE = "network.py", "network.onnx"

Weights = FittedNetwork | Mapping[str, Tensor] | str | Path


@dataclass(frozen=True)
class _Network:
    """What is exported."""

    space: SearchSpace
    arch: Architecture
    num_classes: int
    resolution: int
    scale: dict[str, int]
    state: Mapping[str, Tensor] | None
    trained: Card | None


def export_network(
    network: Candidate | Architecture | FittedNetwork,
    folder: str | Path,
    num_classes: int | None = None,
    *,
    weights: Weights | None = None,
    classes: Sequence[str] | None = None,
    resolution: int | None = None,
    scale: Mapping[str, int] | None = None,
    onnx: bool | None = None,
    about: Mapping[str, Any] | None = None,
) -> Path:
    """Write a folder that needs metad2a no more, and return it.

    It holds ``network.py`` (this network alone, in need of torch alone), ``weights.pt`` if it is trained (torch
    reads it without another package, and with ``weights_only=True`` nothing in it can run), ``network.onnx`` and
    ``card.json``. It appears whole or not at all; an earlier export in its place is replaced.

    Args:
        network: what to export.
        folder: where.
        num_classes: outputs; those of a candidate's data set or of the trained network when not given.
        weights: of the network: a trained one, its run folder or ``.safetensors`` file, a state_dict, or a file
            that ``torch.save`` made of one. Names are those of ``SearchSpace.build``.
        classes: names of the outputs; those the network was trained with when not given.
        resolution: pixels a side of its images; what it was trained with, else a candidate's, else the space's.
        scale: the space's size options; what it was trained with, else a candidate's, else the space's defaults.
        onnx: whether to write ``network.onnx``; None writes it where the package onnx is installed.
        about: what else the card is to say.

    Raises:
        ArchitectureError: the space cannot build the network so, or cannot write its networks as code.
        CheckpointError: the weights cannot be read, or are those of another network.
        ConfigError: the number of classes is missing or contradicts, or the package onnx is missing.
        OutputError: the folder holds something else, or cannot be written.
    """
    if onnx:
        check_onnx()
    plan = _plan(network, num_classes, weights, resolution, scale)
    names = classes if classes is not None or plan.trained is None else plan.trained.classes
    if names is not None and len(names) != plan.num_classes:
        raise ConfigError(f"{len(names)} names for the {plan.num_classes} classes of the network. Give as many.")
    more = {"classes": None if names is None else list(names)} | _found(network) | dict(about or {})
    with new_folder(Path(folder)) as place:
        _write(plan, place, onnx=has_onnx() if onnx is None else onnx, about=more)
    return Path(folder)


def export_candidates(
    result: SearchResult,
    folder: str | Path,
    top: int = 1,
    *,
    trained: Mapping[int, FittedNetwork] | None = None,
    also: Collection[int] = (),
    classes: Sequence[str] | None = None,
    onnx: bool | None = None,
    command: str | None = None,
) -> list[Path]:
    """Export candidates of a search to ``folder/rank1``, ``folder/rank2`` ..., and return these folders.

    ``folder`` appears whole or not at all; one of an earlier call is replaced, whatever ``top`` was.

    Args:
        result: of the search.
        folder: where.
        top: how many of the first candidates; all of them if there are fewer.
        trained: networks of candidates that were trained, by rank; these are exported whatever ``top`` is.
        also: ranks of others that are.
        classes: names of the classes of the data set.
        onnx: see ``export_network``.
        command: what the user typed, for the cards.

    Raises:
        ConfigError: ``top`` is below 1; or see ``export_network``, as for the other errors.
    """
    if top < 1:
        raise ConfigError(f"top={top}: export at least one candidate.")
    search = {"checkpoint": result.checkpoint, "seed": result.seed, "dataset": result.dataset}
    more = {*(trained or ()), *also}
    candidates = [one for one in result.candidates if one.rank <= top or one.rank in more]
    with new_folder(Path(folder)) as place:
        for one in candidates:
            weights = (trained or {}).get(one.rank)
            about = {"search": search | one.to_dict(), "command": command}
            export_network(one, place / f"rank{one.rank}", weights=weights, classes=classes, onnx=onnx, about=about)
    return [Path(folder) / f"rank{one.rank}" for one in candidates]


def _plan(
    network: Candidate | Architecture | FittedNetwork,
    num_classes: int | None,
    weights: Weights | None,
    resolution: int | None,
    scale: Mapping[str, int] | None,
) -> _Network:
    given = network if isinstance(network, FittedNetwork) and weights is None else _opened(weights)
    card = given.card if isinstance(given, FittedNetwork) else None
    if isinstance(network, Architecture):
        space, arch = get_space(network.space), network
    elif isinstance(network, Candidate):
        space, arch = network.space, network.space.parse(network.arch)
    else:
        space = get_space(network.card.space)
        arch = space.parse(network.card.arch)
    if card is not None and (card.space, card.arch) != (space.name, space.format(arch)):
        raise CheckpointError(
            f"the weights are those of '{card.arch}' ({card.space}), not of '{space.format(arch)}'. "
            "Give its own, or leave them out."
        )
    searched = network if isinstance(network, Candidate) else None
    own = card.scale if card is not None else searched.scale if searched is not None else {}
    pixels = card.resolution if card is not None else searched.resolution if searched is not None else None
    return _Network(
        space=space,
        arch=arch,
        num_classes=_outputs(num_classes, network, card),
        resolution=resolution or pixels or space.resolution,
        scale=dict(own if scale is None else scale),
        state=given.network.state_dict() if isinstance(given, FittedNetwork) else given,
        trained=card,
    )


def _outputs(num_classes: int | None, network: object, card: Card | None) -> int:
    if card is not None:
        if num_classes not in (None, len(card.classes)):
            raise ConfigError(f"the network was trained for {len(card.classes)} classes, not for {num_classes}.")
        return len(card.classes)
    if num_classes is None and isinstance(network, Candidate):
        return network.num_classes
    if num_classes is None:
        raise ConfigError("how many classes is the network for? Give num_classes (--num-classes).")
    return num_classes


def _opened(weights: Weights | None) -> FittedNetwork | Mapping[str, Tensor] | None:
    if not isinstance(weights, str | Path):
        return weights
    path = Path(weights)
    if path.is_dir() or path.suffix == SUFFIX:
        return load_fitted(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"cannot read the weights {path}: {error.strerror or error}.") from error
    except Exception as error:  # torch raises what its readers raise
        raise CheckpointError(
            f"{path} holds no weights that are safe to read. Give a file of "
            "torch.save(network.state_dict(), FILE), or of `metad2a fit-network`."
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise CheckpointError(f"{path} holds no state_dict. Write it with torch.save(network.state_dict(), FILE).")
    return state


def _found(network: object) -> dict[str, Any]:
    """Return what the search said of a candidate, of its size, while the card counts the exported one."""
    return {"search": network.to_dict()} if isinstance(network, Candidate) else {}


def _write(plan: _Network, place: Path, *, onnx: bool, about: Mapping[str, Any]) -> None:
    moments = None if plan.trained is None else (plan.trained.mean, plan.trained.std)
    text = network_module(
        plan.space,
        plan.arch,
        plan.num_classes,
        resolution=plan.resolution,
        scale=plan.scale,
        moments=moments,
    )
    write_text(place / MODULE_FILE, text)
    with seeded(0):
        network: nn.Module = load_module(text)["Network"]()
    if plan.state is not None:
        try:
            network.load_state_dict(plan.state)
        except RuntimeError as error:
            raise CheckpointError(
                f"the weights do not fit '{plan.space.format(plan.arch)}' with {plan.num_classes} classes and "
                f"{plan.scale or 'the default size'}: {str(error).splitlines()[-1].strip()}"
            ) from error
        torch.save({name: value.contiguous() for name, value in network.state_dict().items()}, place / WEIGHTS_FILE)
    if onnx:
        write_onnx(place / ONNX_FILE, network, plan.resolution)
    write_json(place / CARD_FILE, _card(plan, place, about))


def _card(plan: _Network, place: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    trained = plan.trained
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "metad2a_version": metad2a.__version__,
        "space": plan.space.name,
        "arch": plan.space.format(plan.arch),
        "scale": plan.scale,
        "num_classes": plan.num_classes,
        "resolution": plan.resolution,
        "params": int(plan.space.params([plan.arch], plan.num_classes, **plan.scale)[0]),
        "flops": int(plan.space.flops([plan.arch], plan.num_classes, plan.resolution, **plan.scale)[0]),
        "weights": plan.state is not None,
        "input": None
        if trained is None
        else {"channels": "RGB", "values": [0, 255]} | {"mean": list(trained.mean), "std": list(trained.std)},
        "training": None
        if trained is None
        else {"dataset": trained.dataset, "recipe": trained.recipe}
        | {"seed": trained.seed, "epoch": trained.epoch, "valid_accuracy": trained.accuracy},
        **about,
        "files": {path.name: sha256(path) for path in sorted(place.iterdir())},
    }
