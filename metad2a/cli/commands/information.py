"""metad2a info."""

import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import metad2a
from metad2a.cli import output
from metad2a.cli.described import described
from metad2a.data.feature_file import holds_features
from metad2a.data.features import FeatureSet
from metad2a.data.prepared import Prepared, is_prepared
from metad2a.database.published import MetaDatabase
from metad2a.errors import UserError
from metad2a.fitting.supernet_file import TrainedSupernet, is_supernet
from metad2a.models.checkpoint import Checkpoint
from metad2a.oracles.ofa import RESOLUTIONS, WIDTH, is_predictor
from metad2a.runtime import cache_dir, resolve_device, shipped
from metad2a.search.label_scale import label_scale
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.scale import NetworkScale
from metad2a.tracking.read import read_run

_PACKAGES = ("torch", "torch-geometric", "lightning-fabric", "hydra-core", "numpy", "scikit-learn", "wandb")


def run(what: str | None) -> None:
    """Describe the installation, or the checkpoint, supernet, features, database or run that ``what`` names."""
    for line in described(_installation() if what is None else _describe(what)):
        output.console.print(line, highlight=False)


def _installation() -> dict[str, Any]:
    return {
        "metad2a": metad2a.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{package: _version(package) for package in _PACKAGES},
        "device": resolve_device("auto"),
        "cache": str(cache_dir()),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _describe(what: str) -> dict[str, Any]:
    path = Path(what)
    if (path / "run.json").is_file():
        return read_run(path)
    if holds_features(path):
        return _features(FeatureSet.load(path))
    if is_prepared(path):
        return _prepared(Prepared.open(path))
    if is_supernet(path) or is_predictor(path):
        return _supernet(TrainedSupernet.load(path)) if is_supernet(path) else _predictor()
    shipped_file = shipped("data", "pretrained", f"{what}.safetensors")
    if path.suffix == ".safetensors" or shipped_file.is_file():
        return _checkpoint(Checkpoint.load(path if path.suffix == ".safetensors" else shipped_file))
    if (path / "manifest.json").is_file() or shipped("data", what, "manifest.json").is_file():
        return MetaDatabase.load(what).manifest
    raise UserError(
        f"'{what}' is no checkpoint, supernet, database, feature file or run folder. See `metad2a ls` for the "
        "shipped ones, or give a path."
    )


def _features(features: FeatureSet) -> dict[str, Any]:
    return {
        "name": features.name,
        "embedder": features.embedder,
        "images": len(features),
        "numbers of each image": features.dim,
        "classes": len(features.classes),
        "images of a class": f"{int(features.counts.min())} to {int(features.counts.max())}",
    }


def _prepared(prepared: Prepared) -> dict[str, Any]:
    counts = prepared.manifest.pop("images_of_class")
    return prepared.manifest | {
        "classes": len(prepared.classes),
        "images of class": f"{min(counts)} to {max(counts)}",
    }


def _supernet(supernet: TrainedSupernet) -> dict[str, Any]:
    return {
        "supernet of": MobileNetV3.name,
        "its networks": str(NetworkScale(supernet.resolution, supernet.net.size)),
        "parameters": sum(weight.numel() for weight in supernet.net.parameters()),
        "images that it has seen": len(supernet.seen),
        "fingerprint": supernet.fingerprint,
        "scores": supernet.scores,
        "provenance": supernet.provenance,
        "classes": supernet.classes,
    }


def _predictor() -> dict[str, Any]:
    return {
        "accuracy predictor of": MobileNetV3.name,
        "its networks": f"width {WIDTH}, with weights of Once-for-All's supernet, on ImageNet",
        "columns, pixels a side": RESOLUTIONS,
    }


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {
        "space": checkpoint.space,
        "models": {
            name: {"parameters": sum(tensor.numel() for tensor in part.state.values())} | part.config
            for name, part in checkpoint.parts.items()
        },
        "embedder": checkpoint.embedder,
        "images per class": checkpoint.images_per_class,
        "labels": asdict(label_scale(checkpoint)),
        "architectures of meta-training": len(checkpoint.train_archs),
        "metrics": checkpoint.metrics,
        "provenance": checkpoint.provenance,
    }
