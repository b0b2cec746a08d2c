"""What `metad2a fit-network ARCH DATASET` asks for, as Hydra overrides."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metad2a.errors import ConfigError
from metad2a.search.best_known import best_known
from metad2a.spaces.registry import get_space

_PLACES = ("test", "init", "json")  # overrides that name files


def as_overrides(arch: str, dataset: str, overrides: Sequence[str]) -> list[str]:
    """Return overrides that mean the same from any working folder.

    Raises:
        ConfigError: ``arch`` is a file that is no result of a search, or without that candidate.
    """
    text, space = read_arch(arch)
    named = [] if space is None else [f"space={space}", *_scale(arch, space)]
    return [f"arch={text}", f"dataset={_anywhere(dataset)}", *named, *(_placed(one) for one in overrides)]


def _scale(reference: str, space: str) -> list[str]:
    """Return overrides for networks of the scale that the search was told, see ``recipe_for``."""
    content = read_result(reference)
    scale, resolution = content.get("scale"), content.get("resolution")
    sizes = ",".join(f"{name}:{value}" for name, value in (scale or {}).items())
    told = ["~recipe.scale", f"+recipe.scale={{{sizes}}}"] if sizes else []
    pixels = [] if resolution in (None, get_space(space).resolution) else [f"recipe.resolution={resolution}"]
    return [*told, *pixels]


def read_result(reference: str) -> dict[str, Any]:
    """Return the content of the file of ``FILE.json#RANK``, which ``read_arch`` has read."""
    content: dict[str, Any] = json.loads(_file(reference).read_text(encoding="utf-8"))
    return content


def _file(reference: str) -> Path:
    return Path(reference.rpartition("#")[0] if ".json#" in reference else reference)


def read_arch(reference: str) -> tuple[str, str | None]:
    """Return text and space of an architecture: the text itself (space None), or a candidate of ``FILE.json#RANK``.

    ``FILE.json`` alone is the best that was found: the first by prediction, unless true evaluations know a better
    one; this is told.

    Raises:
        ConfigError: see ``as_overrides``.
    """
    name, _, rank = reference.rpartition("#") if ".json#" in reference else (reference, "", "")
    if not name.endswith(".json"):
        return reference, None
    try:
        content: Any = json.loads(Path(name).read_text(encoding="utf-8"))
        candidates = {str(one["rank"]): str(one["arch"]) for one in content["candidates"]}
        space = str(content["space"])
        rank = rank or _best_rank(name, content)
    except OSError as error:
        raise ConfigError(
            f"cannot read {name}: {error.strerror or error}. Give what `search --json` wrote."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, StopIteration) as error:
        raise ConfigError(
            f"{name} is no result of a search ({error!r}). Give what `search --json` wrote."
        ) from error
    if rank not in candidates:
        raise ConfigError(f"{name} has no candidate of rank {rank}: it has {len(candidates)}. Give {name}#1, say.")
    return candidates[rank], space


def _best_rank(name: str, content: Any) -> str:
    """Return the rank of the best candidate that is known, and say how it is known where it is."""
    best = best_known(content)
    if best is None:
        return "1"
    other = "" if best.rank == 1 else f"; {name}#1 is the first by prediction"
    said = f"{name}: rank {best.rank}, the best that {best.by} found ({best.accuracy:.2f} %){other}"
    print(said, file=sys.stderr)  # a configuration may be printed
    return str(best.rank)


def _placed(override: str) -> str:
    key, equals, value = override.partition("=")
    return f"{key}={_anywhere(value)}" if equals and key in _PLACES and value else override


def _anywhere(place: str) -> str:
    """Return the absolute path of a file or folder that is there; other texts as they are."""
    path = Path(place).expanduser()
    return str(path.absolute()) if path.exists() else place
