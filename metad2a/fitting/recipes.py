"""The recipes that come with the package: the files of conf/recipe."""

from typing import Any

import yaml

from metad2a.errors import unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import shipped


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in shipped("conf", "recipe").glob("*.yaml"))


def get_recipe(name: str) -> Recipe:
    """Return a shipped recipe; ``dataclasses.replace`` makes another one of it.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in recipe_names():
        raise unknown_name("recipe", name, recipe_names())
    values: dict[str, Any] = yaml.safe_load(shipped("conf", "recipe", f"{name}.yaml").read_text(encoding="utf-8"))
    return Recipe.from_dict(values)
