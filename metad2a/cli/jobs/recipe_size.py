"""Sizes of networks that a recipe asks for."""

from metad2a.errors import ArchitectureError, ConfigError
from metad2a.fitting.recipe import InheritedRecipe, Recipe
from metad2a.fitting.recipes import get_recipe, recipe_names
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.scale import has_scale


def check_size(space: SearchSpace, arch: Architecture, recipe: Recipe) -> None:
    """Refuse sizes of networks that the space does not have.

    Raises:
        ConfigError: the recipe asks for them; the message names the shipped recipes that do not.
    """
    try:
        space.build(arch, 2, **recipe.scale)
    except ArchitectureError as error:
        raise ConfigError(
            f"recipe '{recipe.name}': {error} '~recipe.scale' leaves the size to the space, "
            "'~recipe.scale.NAME' and '+recipe.scale.NAME=NUMBER' take an option away and set one. "
            f"Recipes for this space: {', '.join(_recipes_for(space))}."
        ) from error


def _recipes_for(space: SearchSpace) -> list[str]:
    """Return the names of the shipped recipes for trainings of networks that the space has."""
    recipes = {name: get_recipe(name) for name in recipe_names()}
    return [
        name
        for name, recipe in recipes.items()
        if not isinstance(recipe, InheritedRecipe) and has_scale(space, recipe.scale)
    ]
