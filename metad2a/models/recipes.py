"""The recipes of labels that a model learned from, and which of them it speaks of."""

from collections.abc import Mapping, Sequence

Recipes = Mapping[str, Sequence[float]]
"""By name the level and the spread of the accuracies of a recipe, in percent."""


def recipe_place(recipes: Recipes | None, recipe: str | None) -> int:
    """Return the place of a recipe among those that a model learned from; that of the first where it is None.

    Raises:
        ValueError: it is none of them.
    """
    if recipe is None:
        return 0
    if recipe not in (recipes or {}):
        raise ValueError(f"unknown recipe '{recipe}'; known: {', '.join(recipes or ['none'])}")
    return list(recipes or {}).index(recipe)


def written(recipes: Recipes | None) -> dict[str, list[float]] | None:
    """Return recipes as a checkpoint keeps them."""
    return None if recipes is None else {name: list(levels) for name, levels in recipes.items()}
