"""The command that builds a database again, from the configuration it was built with."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from metad2a.cli.configuration import options, plain
from metad2a.runtime import shipped

_NOT_NAMED = ("images", "licence")
_GONE = object()


def build_command(values: dict[str, Any]) -> str:
    """Return the command that computes the same labels, whatever the machine and wherever it has the images."""
    parts = {
        "name": values["name"],
        "space": values["space"],
        **{key: values[key] for key in ("n" if values["n"] else "archs_per_task", "label_seeds")},
        **{key: values[key] for key in ("sizes_per_task", "repeat_fraction") if values[key]},
        "seed": values["seed"],
        **_recipe_overrides(values["recipe"]),
        **_source_overrides(values["label_source"]),
    }
    texts = [f"{key}={_text(value)}" if value is not _GONE else f"~{key}" for key, value in parts.items()]
    return " ".join(["metad2a build-database", *map(shlex.quote, texts)])


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return str(value).replace(" ", "") if isinstance(value, list) else str(value)


def _source_overrides(sources: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the label sources as overrides: the file in conf/label_source that is nearest, and what differs.

    Where the images are and under which licence is left out, where no file says it; of a list of tasks its name is
    there, not its place.
    """
    wanted = {
        name: {key: _named(key, value) for key, value in part.items() if key not in _NOT_NAMED}
        for name, part in sources.items()
    }
    candidates = []
    for option in options("label_source"):
        file = plain(OmegaConf.load(shipped("conf", "label_source", f"{option}.yaml")))
        known = {f"label_source.{key}" for key in file}
        flat, default = _flat(wanted, "label_source."), _flat(file, "label_source.")
        changed: dict[str, Any] = {f"label_source.{name}": _GONE for name in file if name not in wanted}
        for key, value in flat.items():
            if key not in default or value != default[key]:
                new = "" if key.rpartition(".")[0] in known else "+"
                changed[new + key] = value
        candidates.append({"label_source": option, **changed})
    return min(candidates, key=len)


def _named(key: str, value: Any) -> Any:
    return Path(value).name if key == "task_list" and value else value


def _recipe_overrides(recipe: dict[str, Any]) -> dict[str, Any]:
    """Return the recipe as overrides: its name in conf/recipe and what differs from that file."""
    file = shipped("conf", "recipe", f"{recipe['name']}.yaml")
    wanted = _flat(recipe, "recipe.")
    if not file.is_file():
        return wanted
    known = _flat(plain(OmegaConf.load(file)), "recipe.")
    return {"recipe": recipe["name"], **{key: value for key, value in wanted.items() if value != known.get(key)}}


def _flat(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat
