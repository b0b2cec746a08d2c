"""Things found by name: the built-in ones and those that other packages add through entry points.

A package adds a search space with

    [project.entry-points."metad2a.spaces"]
    my_space = "my_package:MySpace"

and it can be used by that name at once. Nothing is registered by importing something.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from metad2a.errors import UserError, unknown_name

KINDS = ("spaces", "embedders", "proxies", "searchers", "trackers")
_OWN = "metad2a"


@cache
def _group(kind: str) -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=f"metad2a.{kind}")}


def names(kind: str) -> list[str]:
    """Return the known names of one kind (one of ``KINDS``), sorted."""
    return sorted(_group(kind))


def origin(kind: str, name: str) -> str | None:
    """Return the package that offers one of ``names(kind)``, as pip calls it; None for what is built in."""
    package = _group(kind)[name].dist
    return None if package is None or package.name == _OWN else package.name


def load(kind: str, name: str) -> Any:
    """Return the class (or factory) behind ``name``.

    Raises:
        UnknownNameError: no installed package offers this name.
        UserError: the package that offers it cannot be imported.
    """
    points = _group(kind)
    if name not in points:
        raise unknown_name(kind.removesuffix("s") if kind != "proxies" else "proxy", name, points)
    try:
        return points[name].load()
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"'{name}' ({kind}) is declared as {points[name].value} but cannot be loaded: {error}. "
            "Reinstall the package that offers it."
        ) from error
