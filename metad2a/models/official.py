"""Weights of the official implementation (github HayeonLee/MetaD2A) under our names."""

import functools
import pickle
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metad2a.data.embedders import resnet18
from metad2a.errors import CheckpointError, ConfigError
from metad2a.models.checkpoint import Checkpoint, Part, Target, build_model, empty_model
from metad2a.runtime import sha256
from metad2a.spaces.registry import get_space

NUM_HEADS = 4  # no shape tells it
IMAGES_PER_CLASS = 20
TARGET_SCALE = 0.01  # standard deviation of the official regression targets
ACCURACIES = {"nasbench201": (71.57154, 6.693156)}
"""By space: mean and standard deviation, in percent, of what the official predictor was trained on.

nasbench201: of the 4,230 meta-training records of the authors' database, all but the first 400 of
``meta_train_tasks_predictor_idx.pt``. The database of mobilenetv3 was not published.
"""
SPACES = {(7, 8): "nasbench201", (29, 22): "mobilenetv3"}  # by number of types and of vertices

_ATTENTION = {"fc_q": "query", "fc_k": "key", "fc_v": "value", "fc_o": "out"}
_SET_POOL = {f"enc.{i}.mab.{old}": f"layers.{i}.{new}" for i in (0, 1) for old, new in _ATTENTION.items()}
_SET_POOL |= {f"dec.0.mab.{old}": f"pool.attention.{new}" for old, new in _ATTENTION.items()}
_SET_POOL |= {"dec.0": "pool", "dec.1": "out"}
_SET_ENCODER = {
    f"{scope}_setpool.{old}": f"set_encoder.{scope}.{new}"
    for scope in ("intra", "inter")
    for old, new in _SET_POOL.items()
}
GRAPH_ENCODER = {
    "grue_forward": "graph_encoder.ahead.cell",
    "gate_forward.0": "graph_encoder.ahead.gate",
    "mapper_forward.0": "graph_encoder.ahead.map",
    "grue_backward": "graph_encoder.back.cell",
    "gate_backward.0": "graph_encoder.back.gate",
    "mapper_backward.0": "graph_encoder.back.map",
    "hg_unify.0": "graph_encoder.unify",
}
MODULES = {
    "generator": _SET_ENCODER
    | {
        "fc1": "mu",
        "fc2": "logvar",
        "fc3": "decoder.start",
        "grud": "decoder.cell.cell",
        "decoding_gate.0": "decoder.cell.gate",
        "decoding_mapper.0": "decoder.cell.map",
        "add_vertex.0": "decoder.type_net.0",
        "add_vertex.2": "decoder.type_net.2",
        "add_edge.0": "decoder.edge_net.0",
        "add_edge.2": "decoder.edge_net.2",
    },
    "predictor": _SET_ENCODER | GRAPH_ENCODER | {"fc1": "arch_out", "pred_fc.0": "join", "pred_fc.2": "out"},
}
"""Official module -> ours, for each model."""

UNUSED = {
    "generator": {*GRAPH_ENCODER, "enc_g_mu", "enc_g_var", "hv_unify.0", "set_fc.0"},
    "predictor": {"fc2", "hv_unify.0", "set_fc.0"},
}
"""Official modules that no result depends on."""


@dataclass(frozen=True)
class OfficialModel:
    """An official model that was read.

    Attributes:
        name: ``generator`` or ``predictor``.
        space: name of its search space.
        part: configuration and weights, as a ``Checkpoint`` holds them.
        unused: official names of the weights left behind, which no result depends on.
    """

    name: str
    space: str
    part: Part
    unused: tuple[str, ...]


def read_official(path: str | Path) -> OfficialModel:
    """Read a file of the official implementation that holds one model's ``state_dict``.

    Raises:
        CheckpointError: there is none, opening it would run code, or it holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}.")
    try:
        with warnings.catch_warnings():  # of TorchScript, which is refused just below
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        blocked = re.findall(r"GLOBAL (\S+)", str(error))
        why = (
            f"it needs {', '.join(blocked)}, and could run code"
            if blocked
            else "it is no PyTorch file, or holds more than tensors"
        )
        raise CheckpointError(f"{path} is not opened: {why}. A model's weights need no such thing.") from error
    except (RuntimeError, EOFError, OSError, ValueError) as error:
        raise CheckpointError(f"{path} is no PyTorch file, or a damaged one: {error}.") from error
    try:
        return convert_official(content)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error


def official_checkpoint(
    path: str | Path, *others: str | Path, accuracies: tuple[float, float] | None = None
) -> Checkpoint:
    """Return our checkpoint of an official generator, an official predictor, or one of each.

    Args:
        path: file of the official implementation, see ``read_official``.
        others: the file of the other model, to have both in one checkpoint.
        accuracies: mean and standard deviation, in percent, of the accuracies that the predictor was trained on:
            its file does not say them. Needed for spaces without an entry in ``ACCURACIES``.

    Raises:
        CheckpointError: a file is none of an official model, the models do not belong together, or nothing tells
            how the predictor's scores relate to accuracies.
        ConfigError: ``accuracies`` are no mean and standard deviation in percent.
    """
    paths = [Path(file) for file in (path, *others)]
    models = [read_official(file) for file in paths]
    if len({model.space for model in models}) > 1:
        held = ", ".join(f"{file} is a {m.name} of '{m.space}'" for file, m in zip(paths, models, strict=True))
        raise CheckpointError(f"the files are of different search spaces: {held}. Give two of one space.")
    if accuracies is not None:
        _check_accuracies(*accuracies)
        if all(model.name != "predictor" for model in models):
            raise CheckpointError(
                f"mean and standard deviation of accuracies are a predictor's, but {path} is a generator. "
                "Leave them out."
            )
    return functools.reduce(
        Checkpoint.merge, [_checkpoint(*pair, accuracies) for pair in zip(paths, models, strict=True)]
    )


def _checkpoint(path: Path, model: OfficialModel, accuracies: tuple[float, float] | None) -> Checkpoint:
    dim = model.part.config["feature_dim"]
    if dim != resnet18.DIM:
        raise CheckpointError(
            f"{path} takes features of {dim} numbers; those of the official models, by ResNet-18, have "
            f"{resnet18.DIM}. Meta-train on your features instead."
        )
    edges = get_space(model.space).topology
    left = sorted({key.rpartition(".")[0] for key in model.unused})
    origin = {"official_file": path.name, "sha256": sha256(path), "left_behind": left}
    return Checkpoint(
        parts={model.name: model.part},
        space=model.space,
        topology=None if edges is None else edges.nonzero().tolist(),
        embedder={"name": resnet18.NAME, "fingerprint": resnet18.OFFICIAL_FINGERPRINT, "dim": resnet18.DIM},
        images_per_class=IMAGES_PER_CLASS,
        target=_target(path, model.space, accuracies) if model.name == "predictor" else None,
        provenance={model.name: origin},
    )


def _target(path: Path, space: str, accuracies: tuple[float, float] | None) -> Target:
    known = accuracies or ACCURACIES.get(space)
    if known is None:
        raise CheckpointError(
            f"{path} does not say how the predictor's scores relate to accuracy, and for '{space}' nobody has "
            "published it. Give mean and standard deviation, in percent, of the accuracies it was trained on "
            "(--target-mean M --target-std S), or the imported database (--database FOLDER). For a ranking "
            "alone any pair will do, such as 70 and 5."
        )
    mean, std = known
    return {"mean": mean, "std": std / TARGET_SCALE}


def _check_accuracies(mean: float, std: float) -> None:
    if not (0 <= mean <= 100 and 0 < std <= 100):
        raise ConfigError(
            f"mean {mean:g} and standard deviation {std:g} cannot be those of accuracies in percent. "
            "Give a mean within 0..100 and a standard deviation above 0, up to 100."
        )


def convert_official(state: Any) -> OfficialModel:
    """Return the model of an official ``state_dict``.

    Raises:
        CheckpointError: it is none; the message names the keys that are missing, unknown or of a wrong shape.
    """
    if not isinstance(state, Mapping) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in state.items()
    ):
        raise CheckpointError("not a state_dict: expected a dictionary of tensors.")
    name = _recognise(state)
    config = _config(name, state)
    unused = {key for key in state if key.rpartition(".")[0] in UNUSED[name]}
    expected = _official_keys(name, config)
    for what, keys in (("unknown", state.keys() - expected - unused), ("missing", expected - state.keys())):
        if keys:
            raise CheckpointError(f"an official {name}, but with {what} keys: {', '.join(sorted(keys))}.")
    part = Part(config, rename(state, MODULES[name]))
    build_model(name, part)
    size = (config["num_types"], config["num_nodes"])
    if size not in SPACES:
        raise CheckpointError(f"graphs of {size[0]} types and {size[1]} vertices belong to no official space.")
    return OfficialModel(name, SPACES[size], part, tuple(sorted(unused)))


def _official_keys(name: str, config: Mapping[str, Any]) -> set[str]:
    """Return the official names of the weights that our model has."""
    modules = {ours: official for official, ours in MODULES[name].items()}
    split = (key.rpartition(".") for key in empty_model(name, config).state_dict())
    return {f"{modules[module]}.{'S' if parameter == 'seed' else parameter}" for module, _, parameter in split}


def rename(state: Mapping[str, Tensor], modules: Mapping[str, str]) -> dict[str, Tensor]:
    """Return the tensors of ``modules`` (official name -> ours) under our names."""
    renamed = {}
    for key, tensor in state.items():
        module, _, parameter = key.rpartition(".")
        if module in modules:
            renamed[f"{modules[module]}.{'seed' if parameter == 'S' else parameter}"] = tensor
    return renamed


def _recognise(state: Mapping[str, Tensor]) -> str:
    for name, sign in (("generator", "grud.weight_ih"), ("predictor", "pred_fc.2.weight")):
        if sign in state:
            return name
    some = ", ".join(list(state)[:5]) or "nothing"
    raise CheckpointError(f"neither an official generator nor an official predictor: it holds {some}.")


def _config(name: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    cell, gate = {
        "generator": ("grud", "decoding_gate.0"),
        "predictor": ("grue_forward", "gate_forward.0"),
    }[name]
    try:
        hidden, tagged = state[f"{gate}.weight"].shape
        config = {
            "feature_dim": state["intra_setpool.enc.0.mab.fc_q.weight"].shape[1],
            "num_types": state[f"{cell}.weight_ih"].shape[1],
            "num_nodes": tagged - hidden,
            "hidden": hidden,
            "latent": state["inter_setpool.dec.1.weight"].shape[0],
            "num_heads": NUM_HEADS,
            "normalize": False,
        }
    except (KeyError, ValueError, IndexError) as error:
        raise CheckpointError(f"an official {name} with a missing or misshapen tensor: {error}.") from error
    return config | ({"topology": None} if name == "generator" else {})
