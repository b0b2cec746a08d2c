"""metad2a train: from a configuration to a meta-trained model."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool
from lightning_fabric import Fabric
from omegaconf import DictConfig

from metad2a.cli.configuration import check_at_least, check_choice, instantiate_node, plain
from metad2a.data.cache import FeatureCache
from metad2a.data.embedders.base import get_embedder
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import resolve_device
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track
from metad2a.training.features import database_features
from metad2a.training.meta_data import MetaData, meta_data
from metad2a.training.meta_train import MetaTraining, Schedule
from metad2a.training.objectives import GeneratorObjective, Objective, PredictorObjective
from metad2a.training.selection import best_rows

PRECISIONS = ("auto", "32-true", "16-mixed", "bf16-mixed", "64-true")
_POSITIVE = (
    "max_images_per_class",
    "images_per_class",
    "batch_size",
    "schedule.epochs",
    "schedule.validate_every",
    "schedule.save_every",
    "model.hidden",
    "model.latent",
    "model.num_heads",
)


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> dict[str, float | int]:
    """Meta-train one model in ``folder``; return the scores of its best epoch."""
    _check(cfg)
    values = plain(cfg)
    device = resolve_device(cfg.device)
    fabric = Fabric(accelerator=device, devices=1, precision=_precision(cfg.precision, device))
    fabric.launch()
    space, embedder = get_space(cfg.space), get_embedder(cfg.embedder)
    database = MetaDatabase.load(cfg.database)
    features = database_features(
        database,
        embedder,
        images=values["images"],
        max_images_per_class=cfg.max_images_per_class,
        cache=FeatureCache(),
    )
    data = meta_data(database, features, space, valid=_validation(cfg, database))
    objective = _objective(cfg, data, space, fabric)
    with track(
        folder,
        values,
        run_id=run_id,
        job=f"train-{cfg.model.kind}",
        seed=cfg.seed,
        trackers=make_trackers(cfg.tracker.names, **values["tracker"]["options"]),
        resumed=resume,
    ) as tracker:
        training = MetaTraining(
            objective=objective,
            make_model=lambda: _model(cfg.model, data, space),
            make_optimizer=instantiate_node(cfg.optimizer, "optimizer"),
            make_scheduler=instantiate_node(cfg.scheduler.make, "scheduler.make"),
            schedule=Schedule(
                **values["schedule"],
                schedule_on=cfg.scheduler.schedule_on,
                monitor=cfg.model.monitor,
                mode=cfg.model.mode,
            ),
            fabric=fabric,
            space=space,
            embedder=embedder,
            folder=folder / "checkpoints",
            tracker=tracker,
            provenance={
                "database": database.name,
                "seed": cfg.seed,
                "run_id": run_id,
                "note": cfg.note,
                "records": len(objective.train_rows),
            },
            resume=resume,
        )
        state = training.run()
    return next(row for row in state.history if row.get(cfg.model.monitor) == state.best)


def _check(cfg: DictConfig) -> None:
    check_choice(cfg, "model.kind", ("generator", "predictor"))
    check_choice(cfg, "model.mode", ("min", "max"))
    check_choice(cfg, "split", ("by_task", "official"))
    check_choice(cfg, "reduction", ("mean", "sum"))
    check_choice(cfg, "precision", PRECISIONS)
    check_choice(cfg, "scheduler.schedule_on", ("step", "epoch", "plateau"))
    check_at_least(cfg, dict.fromkeys(_POSITIVE, 1))
    if not 0 < cfg.generator_share <= 1:
        raise ConfigError(f"generator_share={cfg.generator_share}: give a share above 0 and up to 1.")
    if cfg.model.latent % cfg.model.num_heads:
        raise ConfigError(
            f"model.latent={cfg.model.latent} is no multiple of model.num_heads={cfg.model.num_heads}."
        )


def _validation(cfg: DictConfig, database: MetaDatabase) -> Bool[np.ndarray, " R"]:
    if cfg.split == "official":
        return database.split_official()
    return database.split_by_task(cfg.valid_fraction, seed=0)


def _precision(name: str, device: str) -> Any:
    if name != "auto":
        return name
    return "bf16-mixed" if device == "cuda" else "32-true"


def _objective(cfg: DictConfig, data: MetaData, space: SearchSpace, fabric: Fabric) -> Objective:
    common: dict[str, Any] = {
        "data": data,
        "batch_size": cfg.batch_size,
        "images_per_class": cfg.images_per_class,
        "seed": cfg.seed,
        "reduction": cfg.reduction,
        "device": fabric.device,
    }
    if cfg.model.kind == "predictor":
        return PredictorObjective(
            **common,
            train_rows=data.train_rows,
            valid_rows=data.valid_rows,
            target_scale=cfg.model.target_scale,
        )
    return GeneratorObjective(
        **common,
        train_rows=best_rows(data, data.train_rows, cfg.generator_share),
        valid_rows=best_rows(data, data.valid_rows, cfg.generator_share),
        latent=cfg.model.latent,
        space=space,
        constrained=cfg.model.constrained,
        beta=cfg.model.beta,
        eps_scale=cfg.model.eps_scale,
    )


def _model(model: DictConfig, data: MetaData, space: SearchSpace) -> Generator | Predictor:
    common: dict[str, Any] = {
        "feature_dim": data.features.dim,
        "num_types": space.num_types,
        "num_nodes": space.num_nodes,
        "hidden": model.hidden,
        "latent": model.latent,
        "num_heads": model.num_heads,
        "normalize": model.normalize,
    }
    if model.kind == "predictor":
        return Predictor(**common)
    given = space.topology if model.constrained else None
    return Generator(**common, topology=None if given is None else given.nonzero().tolist())
