"""metad2a train supernet: from images to the shared weights of all networks of the MobileNetV3 space."""

from pathlib import Path

from omegaconf import DictConfig

import metad2a
from metad2a.cli import output
from metad2a.cli.configuration import check_at_least, check_choice, plain
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.fitting.fitted import CHECKPOINTS
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.precision import PRECISIONS, one_device
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.supernet import fit_supernet
from metad2a.fitting.supernet_file import SUPERNET_FILE
from metad2a.runtime import resolve_device
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

KIND = "supernet"
STATE_FILE = "last.pt"


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> dict[str, float]:
    """Train a supernet in ``folder``; return its scores on images that it was not trained on."""
    if not cfg.dataset:
        raise ConfigError("dataset is empty: give images. Call it as `metad2a train supernet dataset=IMAGES`.")
    check_choice(cfg, "precision", PRECISIONS)
    check_at_least(cfg, {"drawn": 1})
    values = plain(cfg)
    recipe = Recipe.from_dict(values["recipe"])
    MobileNetV3().size_options(recipe.scale, 2)  # wrong ones are told before images are read
    device = resolve_device(cfg.device)
    images = ImageSet.open(cfg.dataset)
    valid, train = images.split(cfg.valid_fraction, cfg.seed)
    trackers = make_trackers(cfg.tracker.names, **values["tracker"]["options"])
    with track(
        folder, values, run_id=run_id, job="train-supernet", seed=cfg.seed, trackers=trackers, resumed=resume
    ) as tracker:
        trained = fit_supernet(
            LabelledImages.of(train, recipe.resolution),
            LabelledImages.of(valid, recipe.resolution),
            tuple(images.classes),
            recipe,
            seed=cfg.seed,
            drawn=cfg.drawn,
            fabric=one_device(device, cfg.precision),
            state_file=folder / CHECKPOINTS / STATE_FILE,
            label="train",
            on_epoch=lambda row: tracker.metrics(row, step=int(row["step"])),
            on_start=lambda step: tracker.rewind(step) if resume else None,
            provenance={
                "dataset": images.name,
                "valid_fraction": cfg.valid_fraction,
                "run": run_id,
                "metad2a": metad2a.__version__,
                "note": cfg.note,
            },
        )
        path = folder / CHECKPOINTS / SUPERNET_FILE
        trained.save(path)
        tracker.artifact(path, "model")
    rows = [[name, f"{value:.3f}"] for name, value in trained.scores.items()]
    output.print_rows("supernet: scores after the last epoch (accuracy in percent)", ["score", "value"], rows)
    output.wrote(path)
    return trained.scores
