"""metad2a train: from a configuration to a meta-trained model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from omegaconf import DictConfig, OmegaConf

from metad2a.cli.configuration import check_at_least, check_choice, instantiate_node, plain
from metad2a.cli.jobs import predictor_options, train_surrogate
from metad2a.cli.jobs.material import Material
from metad2a.database.splits import SPLITS
from metad2a.errors import ConfigError, unknown_name
from metad2a.fitting.loop import FitState
from metad2a.fitting.precision import PRECISIONS, resolve_precision
from metad2a.fitting.processes import Group
from metad2a.models.wishes import CONDITIONS
from metad2a.runtime import resolve_device
from metad2a.tracking.base import Tracker, Trackers
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track
from metad2a.training.conditions import conditions_of
from metad2a.training.meta_train import MetaTraining, Schedule
from metad2a.training.objectives import GeneratorObjective, Objective
from metad2a.training.predictor_objective import PredictorObjective
from metad2a.training.selection import best_rows

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
    if cfg.model.kind == train_surrogate.KIND:
        return train_surrogate.run(cfg, folder, run_id=run_id, resume=resume)
    _check(cfg)
    values = plain(cfg)
    device = resolve_device(cfg.device)
    group = Group(device, _devices(cfg.trainer.devices, device), resolve_precision(cfg.precision, device))
    material = Material.of(cfg)
    material.tell(cfg)
    with (
        track(
            folder,
            values,
            run_id=run_id,
            job=f"train-{cfg.model.kind}",
            seed=cfg.seed,
            trackers=make_trackers(cfg.tracker.names, **values["tracker"]["options"]),
            resumed=resume,
        ) as tracker,
        group.launch(_other_process, values, folder, run_id, resume) as fabric,
    ):
        state = _training(cfg, material, fabric, folder, tracker, run_id=run_id, resume=resume).run()
    return next(row for row in state.history if row.get(cfg.model.monitor) == state.best)


def _other_process(values: dict[str, Any], folder: Path, run_id: str, resume: bool) -> Callable[[Fabric], FitState]:
    """Prepare the training in a process other than the first, which writes and tells nothing."""
    cfg = OmegaConf.create(values)
    material = Material.of(cfg)

    def work(fabric: Fabric) -> FitState:
        return _training(cfg, material, fabric, folder, Trackers([]), run_id=run_id, resume=resume).run()

    return work


def _training(
    cfg: DictConfig,
    material: Material,
    fabric: Fabric,
    folder: Path,
    tracker: Tracker,
    *,
    run_id: str,
    resume: bool,
) -> MetaTraining:
    objective = _objective(cfg, material, fabric)
    init = material.init
    provenance = material.provenance(cfg, run_id) | {"records": len(objective.train_rows)}
    if cfg.model.kind == "predictor":
        provenance["variant"] = predictor_options.variant(cfg)
    if material.teacher is not None and cfg.model.kind == "generator":
        of = material.teacher.provenance["surrogate"]
        provenance["teacher"] = {"checkpoint": Path(cfg.teacher).name, "of": of}
    if init is not None:
        provenance["init"] = {"checkpoint": Path(cfg.init).name, "of": init.provenance.get(cfg.model.kind)}
    return MetaTraining(
        objective=objective,
        make_model=lambda: material.model(cfg, getattr(objective, "target", None), objective.measured),
        make_optimizer=_optimizer(cfg),
        make_scheduler=instantiate_node(cfg.scheduler.make, "scheduler.make"),
        schedule=Schedule(
            **plain(cfg.schedule),
            schedule_on=cfg.scheduler.schedule_on,
            monitor=cfg.model.monitor,
            mode=cfg.model.mode,
        ),
        fabric=fabric,
        space=material.space,
        embedder=material.embedder,
        folder=folder / "checkpoints",
        tracker=tracker,
        provenance=provenance,
        seen_before=() if init is None else init.train_archs,
        resume=resume,
        prepare=(
            predictor_options.preparation(cfg, material, fabric.device) if cfg.model.kind == "predictor" else None
        ),
    )


def _check(cfg: DictConfig) -> None:
    check_choice(cfg, "model.kind", ("generator", "predictor"))
    check_choice(cfg, "model.mode", ("min", "max"))
    check_choice(cfg, "split", SPLITS)
    check_choice(cfg, "reduction", ("mean", "sum"))
    check_choice(cfg, "precision", PRECISIONS)
    check_choice(cfg, "scheduler.schedule_on", ("step", "epoch", "plateau"))
    check_at_least(cfg, dict.fromkeys(_POSITIVE, 1))
    if not 0 < cfg.generator_share <= 1:
        raise ConfigError(f"generator_share={cfg.generator_share}: give a share above 0 and up to 1.")
    if cfg.get("teacher") is not None and cfg.model.kind != "generator":
        raise ConfigError(f"teacher={cfg.teacher}: only a generator learns from a teacher. Leave it out.")
    if cfg.model.latent % cfg.model.num_heads:
        raise ConfigError(
            f"model.latent={cfg.model.latent} is no multiple of model.num_heads={cfg.model.num_heads}."
        )
    if cfg.model.kind == "predictor":
        predictor_options.check(cfg)
    for name in cfg.model.get("condition") or []:
        if name not in CONDITIONS:
            raise unknown_name("condition (model.condition)", name, CONDITIONS)
    _check_steps(cfg)


def _check_steps(cfg: DictConfig) -> None:
    """Refuse what no optimizer or schedule can be made from: the real ones come after minutes of embedding."""
    optimizer = _optimizer(cfg)([torch.nn.Parameter(torch.zeros(1))])
    make_scheduler = instantiate_node(cfg.scheduler.make, "scheduler.make")
    if make_scheduler is not None:
        make_scheduler(optimizer, total_steps=cfg.schedule.epochs)


def _optimizer(cfg: DictConfig) -> Any:
    node = cfg.optimizer
    if cfg.precision == "16-mixed" and node.get("fused"):
        # A fused optimizer takes the scale off its gradients itself, when it is too late to clip them.
        node = OmegaConf.merge(node, {"fused": False})
    return instantiate_node(node, "optimizer")


def _devices(asked: Any, device: str) -> int:
    """Return how many processes to start."""
    present = torch.cuda.device_count() if device == "cuda" else 1
    if asked == "auto":
        return present
    if not isinstance(asked, int) or asked < 1:
        raise ConfigError(f"trainer.devices={asked}: give a number of at least 1, or auto.")
    if device != "cpu" and asked > present:
        raise ConfigError(f"trainer.devices={asked}, but there is only {present} of device={device} here.")
    return asked


def _objective(cfg: DictConfig, material: Material, fabric: Fabric) -> Objective:
    data = material.data
    common: dict[str, Any] = {
        "data": data,
        "batch_size": cfg.batch_size,
        "images_per_class": cfg.images_per_class,
        "seed": cfg.seed,
        "reduction": cfg.reduction,
        "device": fabric.device,
        "dtype": torch.float64 if cfg.precision == "64-true" else None,
        "rank": fabric.global_rank,
        "world_size": fabric.world_size,
    }
    if cfg.model.kind == "predictor":
        return PredictorObjective(
            **common,
            train_rows=data.train_rows,
            valid_rows=data.valid_rows,
            **predictor_options.objective_options(cfg, material),
        )
    learned = material.taught(cfg)
    # What a teacher chose is the best already.
    share = cfg.generator_share if material.teacher is None else 1.0
    told = material.conditions(cfg.model)
    return GeneratorObjective(
        **common | {"data": learned},
        train_rows=best_rows(learned, learned.train_rows, share),
        valid_rows=best_rows(learned, learned.valid_rows, share),
        latent=material.model_config(cfg.model)["latent"],
        space=material.space,
        constrained=cfg.model.constrained,
        beta=cfg.model.beta,
        eps_scale=cfg.model.eps_scale,
        conditions=conditions_of(learned, told, material.space) if told else None,
    )
