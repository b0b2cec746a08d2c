"""What `metad2a fit-network ARCH DATASET` asks for, as Hydra overrides."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metad2a.errors import ConfigError, did_you_mean
from metad2a.search.best_known import best_known
from metad2a.search.result_file import read_result
from metad2a.spaces.registry import get_space, space_of

_RANKED = re.compile(r"(.+)#(\d+)")
_PLACES = ("test", "init", "json")  # overrides that name files


@dataclass(frozen=True)
class NamedArch:
    """An architecture that a command was told of.

    Attributes:
        text: of the architecture.
        search: content of the file of the search that proposed it; None where the text itself was given.
    """

    text: str
    search: dict[str, Any] | None = None

    @property
    def space(self) -> str | None:
        """Name of its space, as far as a file says it."""
        return None if self.search is None else str(self.search["space"])


def as_overrides(arch: str, dataset: str, overrides: Sequence[str]) -> list[str]:
    """Return overrides that mean the same from any working folder.

    Raises:
        ConfigError: see ``read_arch``.
    """
    named = read_arch(arch)
    told = [] if named.search is None else [f"space={named.space}", *_scale(named.search)]
    return [f"arch={named.text}", f"dataset={_anywhere(dataset)}", *told, *(_placed(one) for one in overrides)]


def _scale(search: Mapping[str, Any]) -> list[str]:
    """Return overrides for networks of the scale that the search was told, see ``recipe_for``."""
    resolution = search.get("resolution")
    sizes = ",".join(f"{name}:{value}" for name, value in (search.get("scale") or {}).items())
    told = ["~recipe.scale", f"+recipe.scale={{{sizes}}}"] if sizes else []
    usual = resolution in (None, get_space(search["space"]).resolution)
    return [*told, *([] if usual else [f"recipe.resolution={resolution}"])]


def read_arch(reference: str) -> NamedArch:
    """Return the architecture of a text, or that of rank RANK in the result of a search, given as ``FILE#RANK``.

    ``FILE`` alone is the best that was found: the first by prediction, unless true evaluations know a better one;
    this is told.

    Raises:
        ConfigError: the file does not exist, is no result of a search, or has no candidate of that rank.
    """
    ranked = _RANKED.fullmatch(reference)
    name, rank = ranked.groups() if ranked else (reference, "")
    if not _is_path(name):
        return NamedArch(reference)
    path = Path(name)
    if not path.exists():
        raise _missing(path)
    search = read_result(path)
    candidates = {str(one["rank"]): str(one["arch"]) for one in search["candidates"]}
    rank = rank or _best_rank(name, search)
    if rank not in candidates:
        raise ConfigError(f"{name} has no candidate of rank {rank}: it has {len(candidates)}. Give {name}#1, say.")
    return NamedArch(candidates[rank], search)


def _is_path(name: str) -> bool:
    """Whether ``name`` must have been meant as a file; texts of somebody's own space may have dots and slashes."""
    return bool("/" in name or Path(name).suffix) and space_of(name) is None


def _missing(path: Path) -> ConfigError:
    folder = path.absolute().parent
    where = f"{folder}{'' if folder.is_dir() else ', which does not exist'}"
    hint = did_you_mean(path.name, (other.name for other in folder.glob("*")))
    return ConfigError(
        f"there is no file '{path.name}' in {where}.{hint} Give what `metad2a search IMAGES --json FILE` wrote, "
        "or an architecture as its space writes it."
    )


def _best_rank(name: str, search: Mapping[str, Any]) -> str:
    """Return the rank of the best candidate that is known, and say how it is known where it is."""
    try:
        best = best_known(search)
    except (AttributeError, KeyError, StopIteration, TypeError, ValueError) as error:
        raise ConfigError(
            f"{name}: its 'then_train' or 'queries' is incomplete. Give {name}#1, the first by prediction, "
            "or search again."
        ) from error
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
