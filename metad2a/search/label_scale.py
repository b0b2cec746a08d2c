"""On which scale accuracies are predicted: that of the labels which a checkpoint learned from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import shipped


@dataclass(frozen=True)
class LabelScale:
    """What is known of the labels of the recipe that is predicted; None where nobody noted it.

    Attributes:
        recipe: by which they were made: its name, and what it is in words.
        mean: of the labels, in percent.
        std: their standard deviation.
    """

    recipe: str | None
    mean: float | None
    std: float | None


def label_scale(checkpoint: Checkpoint) -> LabelScale:
    """Return the scale of what ``checkpoint`` predicts."""
    part = checkpoint.parts.get(checkpoint.ranking)
    config: Mapping[str, Any] = {} if part is None else part.config
    several = config.get("recipes") or {}
    chosen = config.get("recipe")
    if checkpoint.ranking == "predictor":
        target: Mapping[str, Any] = checkpoint.target or {}
        mean, std = target.get("mean"), target.get("std")
    elif chosen is not None:
        mean, std = several[chosen]
    else:
        mean, std = config["target_mean"], config["target_std"]
    return LabelScale(_recipe(checkpoint, chosen or next(iter(several), None)), mean, std)


def _recipe(checkpoint: Checkpoint, name: str | None) -> str | None:
    """Return in words what the checkpoint says of a recipe; None: of the only one."""
    noted = {key: own for key, own in checkpoint.label_recipes.items() if name in (None, key, own)}
    if len(noted) != 1:
        return name
    [(key, own)] = noted.items()
    whole = checkpoint.provenance[checkpoint.ranking].get("recipes") or _shipped_recipes()
    return f"{own}: {_words(whole[key])}" if key in whole else own


def _shipped_recipes() -> dict[str, Any]:
    """Return the recipes of the shipped databases: older checkpoints noted nothing but names."""
    manifests = sorted(shipped("data").glob("*/manifest.json"))
    recipes = [json.loads(file.read_text(encoding="utf-8"))["recipes"] for file in manifests]
    return {key: recipe for known in recipes for key, recipe in known.items()}


def _words(recipe: Mapping[str, Any]) -> str:
    if "supernet" in recipe:
        how = "weights of a supernet"
    elif recipe.get("images_per_epoch"):
        how = f"{recipe['epochs'] * recipe['images_per_epoch']:,} image-steps"
    else:
        how = f"{recipe['epochs']} epochs"
    sizes = [f"{name} {size}" for name, size in recipe.get("scale", {}).items()]
    return ", ".join([f"{how} at {recipe.get('resolution', 32)} pixels", *sizes])
