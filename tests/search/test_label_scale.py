"""What a checkpoint says of the scale of its predictions."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.runtime import shipped
from metad2a.search.explanation_words import of_predicted
from metad2a.search.label_scale import LabelScale, label_scale
from metad2a.search.metad2a import MetaD2A
from metad2a.search.sureness import sureness

Make = Callable[..., Checkpoint]
RECIPE = {"name": "mine", "epochs": 3, "resolution": 24, "scale": {"channels": 4}}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("nasbench201", "recipe rank60k: 60,000 image-steps at 16 pixels, channels 8, cells 1; mean 50.8 %"),
        ("nasbench201-metad2a", "mean 71.6 %"),
    ],
)
def test_shipped_checkpoints_say_it(name: str, known: str, features: Any, make_checkpoint: Make) -> None:
    result = MetaD2A(make_checkpoint(), name="untrained", device="cpu").search(features, n_candidates=3)
    checkpoint = Checkpoint.load(shipped("data", "pretrained", f"{name}.safetensors"))
    assert of_predicted(sureness(checkpoint, result)) == (
        f"predicted %: on the scale of the checkpoint's labels ({known}), not the accuracy that you will get.",
    )


def test_it_is_that_of_the_recipe_that_is_predicted(make_checkpoint: Make) -> None:
    made = make_checkpoint(target={"mean": 60.0, "std": 5.0})
    assert label_scale(made) == LabelScale(None, 60.0, 5.0)
    noted = replace(made, provenance={"predictor": {"recipe": {"f": "mine"}}})
    assert label_scale(noted).recipe == "mine"
    whole = replace(made, provenance={"predictor": {"recipe": {"f": "mine"}, "recipes": {"f": RECIPE}}})
    assert label_scale(whole).recipe == "mine: 3 epochs at 24 pixels, channels 4"
    assert label_scale(replace(made, target=None)) == LabelScale(None, None, None)
    levels = {"mine": [60.0, 5.0], "other": [30.0, 2.0]}
    part = made.parts["predictor"]
    several = replace(
        whole,
        parts=made.parts | {"predictor": Part(part.config | {"recipes": levels}, part.state)},
        provenance={"predictor": {"recipe": {"f": "mine", "g": "other"}, "recipes": {"f": RECIPE}}},
    )
    assert label_scale(several) == LabelScale("mine: 3 epochs at 24 pixels, channels 4", 60.0, 5.0)
    assert label_scale(several.for_recipe("other")) == LabelScale("other", 30.0, 2.0)


def test_a_surrogates_scale_is_that_of_the_recipe_too() -> None:
    one = Checkpoint.load(shipped("data", "pretrained", "nasbench201.safetensors"))
    part = one.parts["surrogate"]
    levels = {"rank60k": [50.0, 2.0], "other": [30.0, 1.0]}
    several = replace(one, parts={"surrogate": Part(part.config | {"recipes": levels}, part.state)})
    assert label_scale(several).mean == part.config["target_mean"]
    assert label_scale(several.for_recipe("other")) == LabelScale("other", 30.0, 1.0)
