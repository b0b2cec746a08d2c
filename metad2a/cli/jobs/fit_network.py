"""metad2a fit-network: from an architecture and images to a trained network and its accuracy."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metad2a.cli import fit_output, output
from metad2a.cli.configuration import check_choice, plain
from metad2a.cli.jobs.recipe_size import check_size
from metad2a.data.image_set import ImageSet
from metad2a.errors import ConfigError
from metad2a.fitting.fitted import BEST_FILE, CHECKPOINTS, LAST_FILE
from metad2a.fitting.found import FoundFit, fit_found, scores
from metad2a.fitting.parts import LoadedParts, Parts, split_parts
from metad2a.fitting.precision import PRECISIONS, one_device
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.starting import with_size_of
from metad2a.oracles.supernet import open_supernet
from metad2a.runtime import check_writable, resolve_device, write_json
from metad2a.spaces.registry import get_space, parse_in
from metad2a.tracking.base import Tracker
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

RESULT_FILE = "result.json"


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> dict[str, Any]:
    """Train one network in ``folder``; write, print and return what it came to."""
    _check(cfg)
    values = plain(cfg)
    recipe = Recipe.from_dict(values["recipe"])
    space = get_space(cfg.space)
    arch = parse_in(space, cfg.arch, "space=")  # before what else does not fit its space
    supernet = open_supernet(cfg.init) if cfg.init else None
    if supernet is not None:
        recipe = with_size_of(supernet, space, recipe)
    check_size(space, arch, recipe)  # before images are read
    device = resolve_device(cfg.device)
    parts = _parts(cfg)
    trackers = make_trackers(cfg.tracker.names, **values["tracker"]["options"])
    with track(
        folder, values, run_id=run_id, job="fit-network", seed=cfg.seed, trackers=trackers, resumed=resume
    ) as tracker:
        loaded = parts.load(recipe.resolution)
        shared = loaded.tell_leaks()
        fit = fit_found(
            space,
            arch,
            loaded,
            recipe,
            seed=cfg.seed,
            fabric=one_device(device, cfg.precision),
            folder=folder / CHECKPOINTS,
            label="train",
            on_epoch=lambda row: tracker.metrics(row, step=int(row["step"])),
            on_start=lambda step: tracker.rewind(step) if resume else None,
            supernet=supernet,
        )
        result = _result(fit, loaded, shared)
        _keep(result, folder, tracker)
    fit_output.print_fit(result)
    fit_output.print_weights(folder)
    if cfg.json:
        write_json(cfg.json, result)
        output.wrote(cfg.json)
    return result


def _check(cfg: DictConfig) -> None:
    for key, form in (("arch", "an architecture"), ("dataset", "images")):
        if not cfg[key]:
            raise ConfigError(f"{key} is empty: give {form}. Call it as `metad2a fit-network ARCH DATASET`.")
    check_choice(cfg, "precision", PRECISIONS)
    if cfg.json:
        check_writable(cfg.json)


def _parts(cfg: DictConfig) -> Parts:
    return split_parts(
        ImageSet.open(cfg.dataset),
        test=ImageSet.open(cfg.test) if cfg.test else None,
        valid_fraction=cfg.valid_fraction,
        test_fraction=cfg.test_fraction,
        seed=cfg.split_seed,
    )


def _result(fit: FoundFit, parts: LoadedParts, shared: int) -> dict[str, Any]:
    """Return everything as plain data; only here the test images are looked at."""
    test = scores(fit.fitted, parts.test)
    network = fit.fitted.network
    return {
        "schema_version": 1,
        **fit.to_dict(),
        "params": sum(parameter.numel() for parameter in network.parameters()),
        "images": {"train": len(parts.train), "valid": len(parts.valid), "test": len(parts.test)},
        "test_images_in_training": shared,
        "test": test.to_dict(),
    }


def _keep(result: dict[str, Any], folder: Path, tracker: Tracker) -> None:
    # A step of its own: a finished run that is resumed rewinds to the last one of the training.
    tracker.metrics({"test/accuracy": result["test"]["accuracy"]}, step=int(result["curve"][-1]["step"]) + 1)
    write_json(folder / RESULT_FILE, result)
    for name, kind in ((f"{CHECKPOINTS}/{BEST_FILE}", "model"), (f"{CHECKPOINTS}/{LAST_FILE}", "model")):
        tracker.artifact(folder / name, kind)
    tracker.artifact(folder / RESULT_FILE, "report")
