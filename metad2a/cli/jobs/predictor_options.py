"""The options of a predictor beyond the paper's: what it learns, and how it sees architectures."""

from collections.abc import Callable
from typing import Any, get_args

import torch
from omegaconf import DictConfig

from metad2a.cli.configuration import check_at_least, check_choice
from metad2a.cli.jobs.material import Material, predictor_option
from metad2a.errors import ConfigError
from metad2a.models.predictor import GRAPH_ENCODERS, Predictor
from metad2a.training.predictor_objective import Aim, LossName
from metad2a.training.pretraining import pretrain
from metad2a.training.task_ranks import Label

_CHOICES = {
    "target": get_args(Aim),
    "loss": get_args(LossName),
    "label": get_args(Label),
    "graph_encoder": tuple(GRAPH_ENCODERS),
}


def check(cfg: DictConfig) -> None:
    """Refuse options that are none, or that say nothing together.

    Raises:
        ConfigError: it names the key.
    """
    for name, choices in _CHOICES.items():
        if name in cfg.model:  # not in run folders from before there was this key
            check_choice(cfg, f"model.{name}", choices)
    check_at_least(cfg, {"model.pretrain_epochs": 0})
    if cfg.init is not None and predictor_option(cfg.model, "pretrain_epochs"):
        raise ConfigError(
            f"model.pretrain_epochs={cfg.model.pretrain_epochs}, but init={cfg.init} brings its own graph encoder. "
            "Set one of them."
        )
    if cfg.model.get("label") == "curve" and not _ordered(cfg.model):
        raise ConfigError(
            "model.label=curve is a rank within a task. Set model.target=ranks or model.loss=pairwise with it."
        )


def objective_options(cfg: DictConfig, material: Material) -> dict[str, Any]:
    """Return the arguments of ``PredictorObjective`` that are options of the model."""
    model = cfg.model
    read = material.model_config(model).get("arch_features", 0)
    return {
        "target_scale": model.target_scale,
        "aim": predictor_option(model, "target"),
        "loss_name": predictor_option(model, "loss"),
        "label": predictor_option(model, "label"),
        "arch_features": _features_of_archs(material, read) if read else None,
    }


def preparation(cfg: DictConfig, material: Material, device: str | torch.device) -> Callable[[Any], None] | None:
    """Return what is done to a new predictor before meta-training; None where nothing is."""
    epochs = predictor_option(cfg.model, "pretrain_epochs")
    told = predictor_option(cfg.model, "arch_features")
    if material.init is not None or not (epochs or told):
        return None

    def prepare(model: Predictor) -> None:
        if model.arch_features:
            model.standardise(_features_of_archs(material, model.arch_features))
        if epochs:
            pretrain(model, material.arch_features, epochs=epochs, seed=cfg.seed, device=device)

    return prepare


def variant(cfg: DictConfig) -> dict[str, Any]:
    """Return what a checkpoint remembers of the options; its model's configuration says the rest."""
    names = ("target", "loss", "label", "pretrain_epochs")
    return {name: predictor_option(cfg.model, name) for name in names}


def _ordered(model: DictConfig) -> bool:
    return predictor_option(model, "target") == "ranks" or predictor_option(model, "loss") == "pairwise"


def _features_of_archs(material: Material, read: int) -> torch.Tensor:
    data, features = material.data, material.arch_features
    matrix = features.matrix([features.space.parse(name) for name in data.arch_names])
    if matrix.shape[1] != read:
        raise ConfigError(
            f"the model of init reads {read} features of an architecture, but here there are {matrix.shape[1]}: it "
            "was trained with another table of scores. Train a new one (init=null)."
        )
    return torch.from_numpy(matrix)
