"""metad2a train surrogate: a Gaussian process of a database, in seconds; nothing is trained step by step."""

from pathlib import Path
from typing import get_args

from omegaconf import DictConfig

from metad2a.cli.configuration import check_at_least, check_choice, plain
from metad2a.cli.jobs.material import Material
from metad2a.database.splits import SPLITS
from metad2a.errors import ConfigError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.surrogate import Surrogate
from metad2a.spaces.product import ProductSpace
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track
from metad2a.training.meta_data import MetaData
from metad2a.training.surrogate import fit_surrogate, surrogate_checkpoint, surrogate_scores
from metad2a.training.task_ranks import Label

KIND = "surrogate"


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> dict[str, float | int]:
    """Make a surrogate in ``folder``; return its scores on meta-validation."""
    check_choice(cfg, "split", SPLITS)
    check_choice(cfg, "model.label", get_args(Label))
    check_at_least(cfg, {"max_images_per_class": 1, "images_per_class": 1})
    if cfg.init is not None:
        raise ConfigError(f"init={cfg.init}: a surrogate starts from nothing. Leave it out.")
    values = plain(cfg)
    material = Material.of(cfg)
    if not isinstance(material.space, ProductSpace):
        raise ConfigError(f"space={material.space.name}: a surrogate needs a space of independent decisions.")
    material.tell(cfg)
    features = ArchFeatures(material.space)
    trackers = make_trackers(cfg.tracker.names, **values["tracker"]["options"])
    with track(
        folder, values, run_id=run_id, job="train-surrogate", seed=cfg.seed, trackers=trackers, resumed=resume
    ) as tracker:
        surrogate, scores = _made(cfg, material.data, features)
        tracker.metrics(scores, step=0)
        provenance = material.provenance(cfg, run_id) | {"records": len(material.data.train_rows)}
        path = folder / "checkpoints" / "best.safetensors"
        surrogate_checkpoint(
            surrogate,
            material.data,
            material.embedder,
            images_per_class=cfg.images_per_class,
            scores=scores,
            provenance=provenance,
            space=material.space,
        ).save(path)
        tracker.artifact(path, "model")
    return {"epoch": 1, **scores}  # everything is seen once


def _made(cfg: DictConfig, data: MetaData, features: ArchFeatures) -> tuple[Surrogate, dict[str, float]]:
    """Return the surrogate of meta-training, and its scores on meta-validation."""
    learned = {"images_per_class": cfg.images_per_class, "label": cfg.model.label}
    surrogate = fit_surrogate(
        data,
        features,
        data.train_rows,
        **learned,
        rho=cfg.model.rho,
        sigma=cfg.model.sigma,
        tau=cfg.model.get("tau"),  # not in run folders from before there was this key
    )
    return surrogate, surrogate_scores(surrogate, data, features, data.valid_rows, **learned)
