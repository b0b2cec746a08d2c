from dataclasses import fields, replace
from typing import Any

import pytest

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.fitting.recipe import Recipe

RECIPE = Recipe(name="a", epochs=2, batch_size=8, learning_rate=0.1, scale={"channels": 4, "cells": 1})
OTHER: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 9,
    "learning_rate": 0.2,
    "momentum": 0.8,
    "weight_decay": 0.0,
    "nesterov": False,
    "schedule": "one_cycle",
    "warmup": 0.1,
    "label_smoothing": 0.1,
    "flip": True,
    "crop_padding": 2,
    "images_per_epoch": 64,
    "resolution": 16,
    "scale": {"channels": 4, "cells": 2},
    "cutout": 4,
    "auto_augment": "svhn",
    "drop_path": 0.2,
    "dropout": 0.1,
    "clip_norm": 5.0,
}


def test_every_field_but_the_name_decides_the_fingerprint() -> None:
    assert set(OTHER) | {"name"} == {entry.name for entry in fields(Recipe)}
    prints = {RECIPE.fingerprint} | {replace(RECIPE, **{key: OTHER[key]}).fingerprint for key in OTHER}
    assert len(prints) == len(OTHER) + 1
    assert replace(RECIPE, name="b").fingerprint == RECIPE.fingerprint


def test_the_fingerprint_does_not_depend_on_how_a_number_is_written() -> None:
    a = Recipe.from_dict(RECIPE.to_dict() | {"learning_rate": 1, "scale": {"cells": 1, "channels": 4}})
    assert a.fingerprint == replace(RECIPE, learning_rate=1.0).fingerprint


def test_nothing_is_written_as_null_or_zero() -> None:
    content = RECIPE.to_dict()
    nothing = dict.fromkeys(("cutout", "drop_path", "dropout", "clip_norm"), 0)
    assert Recipe.from_dict(content | nothing) == RECIPE
    earlier = {key: value for key, value in content.items() if value is not None}  # before these fields were there
    assert Recipe.from_dict(earlier).fingerprint == RECIPE.fingerprint
    whole, same = (Recipe.from_dict(content | {"clip_norm": norm}) for norm in (5, 5.0))
    assert whole.fingerprint == same.fingerprint != RECIPE.fingerprint


def test_the_fingerprint_is_for_ever() -> None:
    # A database that was built yesterday must be continued today.
    assert RECIPE.fingerprint == "ab6c1210d6cc353e"


def test_round_trip_through_plain_data() -> None:
    recipe = replace(RECIPE, **OTHER)
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert hash(recipe) == hash(Recipe.from_dict(recipe.to_dict()))


def test_a_recipe_keeps_its_own_copy_of_the_scale() -> None:
    scale = {"channels": 4}
    recipe = replace(RECIPE, scale=scale)
    scale["channels"] = 8
    assert recipe.scale == {"channels": 4}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", 3),
        ("epochs", 0),
        ("epochs", 2.0),
        ("epochs", True),
        ("batch_size", 1),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", float("inf")),
        ("learning_rate", "0.1"),
        ("momentum", 1.0),
        ("momentum", 0.0),
        ("weight_decay", -1e-4),
        ("nesterov", 1),
        ("schedule", "linear"),
        ("warmup", 1.0),
        ("label_smoothing", -0.1),
        ("crop_padding", -1),
        ("images_per_epoch", 7),
        ("images_per_epoch", 64.0),
        ("resolution", 0),
        ("scale", {"channels": 0}),
        ("scale", {"channels": 4.0}),
        ("scale", [4, 1]),
        ("cutout", -1),
        ("cutout", 32),
        ("cutout", 4.0),
        ("auto_augment", "cifar100"),
        ("auto_augment", True),
        ("drop_path", 1.0),
        ("drop_path", float("nan")),
        ("dropout", -0.1),
        ("dropout", "much"),
        ("clip_norm", float("inf")),
        ("clip_norm", -1),
    ],
)
def test_values_that_cannot_be_used_are_named(field: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=field):
        Recipe.from_dict(RECIPE.to_dict() | {field: value})


def test_unknown_and_missing_fields() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'momentum'"):
        Recipe.from_dict(RECIPE.to_dict() | {"momentun": 0.9})
    with pytest.raises(ConfigError, match="lacks epochs, learning_rate"):
        Recipe.from_dict({"name": "a", "batch_size": 8})
