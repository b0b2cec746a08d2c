"""The recipes that come with the package: the files of conf/recipe."""

from pathlib import Path
from typing import Any

import yaml

from metad2a.errors import ConfigError, unknown_name
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import shipped


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(path.stem for path in shipped("conf", "recipe").glob("*.yaml"))


def get_recipe(reference: str) -> Recipe:
    """Return a recipe; ``dataclasses.replace`` makes another one of it.

    Args:
        reference: name of a shipped recipe, or a ``.yaml`` file of the same form.

    Raises:
        UnknownNameError: there is none of that name, or a key is no field of a recipe.
        ConfigError: the file cannot be read, or a value cannot be used.
    """
    path = Path(reference).expanduser()
    if path.suffix not in (".yaml", ".yml"):
        if reference not in recipe_names():
            raise unknown_name("recipe", reference, recipe_names())
        path = shipped("conf", "recipe", f"{reference}.yaml")
    try:
        values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the recipe {path}: {error.strerror or error}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"the recipe {path} is no YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(values, dict):
        raise ConfigError(f"the recipe {path} holds no keys with values. See the files of conf/recipe.")
    return Recipe.from_dict(values)
