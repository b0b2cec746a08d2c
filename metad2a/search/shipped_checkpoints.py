"""The shipped checkpoints: by name, and for a search space."""

from collections.abc import Mapping
from pathlib import Path

from metad2a.errors import CheckpointError, ConfigError, unknown_name
from metad2a.models.checkpoint import SUFFIX, Checkpoint
from metad2a.runtime import shipped
from metad2a.spaces.registry import DEFAULT_SPACE, get_space


def pretrained_names() -> list[str]:
    """Return the names of the shipped checkpoints."""
    return sorted(path.stem for path in shipped("data", "pretrained").glob(f"*{SUFFIX}"))


def shipped_file(name: str) -> Path:
    """Return the file of a shipped checkpoint.

    Raises:
        UnknownNameError: there is none of that name.
    """
    if name not in pretrained_names():
        raise unknown_name("checkpoint", name, pretrained_names())
    return shipped("data", "pretrained", f"{name}{SUFFIX}")


def checkpoint_file(reference: str | Path) -> Path:
    """Return the file that the reference is, else that of the shipped checkpoint of this name.

    Raises:
        UnknownNameError: it is neither a file nor a shipped name.
    """
    return shipped_file(str(reference)) if is_name(reference) else Path(reference)


def is_name(reference: str | Path) -> bool:
    """Return whether the reference can only be meant as a name: it is no file, and does not look like one."""
    path = Path(reference)
    return not (path.suffix or path.is_file())


def shipped_for(space: str) -> str:
    """Return the name of the shipped checkpoint for a search space: that of the same name, else the first of it.

    Raises:
        CheckpointError: there is none.
        UnknownNameError: there is no such space.
    """
    name = _shipped_for(space)
    if name is None:
        known = ", ".join(f"{one} (for '{own}')" for one, own in _spaces().items())
        raise CheckpointError(
            f"no checkpoint for the search space '{space}' is shipped; there are {known}. Give the files of a "
            "generator and of what ranks (--checkpoint, checkpoint=), which `metad2a train` makes."
        )
    return name


def database_for(space: str) -> str | None:
    """Return the name of the database that the shipped checkpoint for a search space learned from, if there is one.

    Raises:
        UnknownNameError: there is no such space.
    """
    name = _shipped_for(space)
    if name is None:
        return None
    checkpoint = Checkpoint.load(shipped_file(name))
    learned_from: str | None = checkpoint.provenance.get(checkpoint.ranking, {}).get("database")
    return learned_from


def meant_space(named: Mapping[str, str]) -> str:
    """Return the search space that is meant: that of what is named first, else the default.

    Args:
        named: by what names them (``database=demo``), spaces, which may be codes of the same networks.

    Raises:
        ConfigError: they are not.
        UnknownNameError: one of them does not exist.
    """
    first, space = next(iter(named.items()), ("", DEFAULT_SPACE))
    for option, other in named.items():
        if not (is_code_of(other, space) or is_code_of(space, other)):
            raise ConfigError(
                f"{first} is of the search space '{space}', but {option} is of '{other}'. Name things of one space."
            )
    return space


def is_code_of(space: str, other: str) -> bool:
    """Return whether ``space`` is ``other``, or another code of its networks.

    Raises:
        UnknownNameError: one of them does not exist.
    """
    return isinstance(get_space(space), type(get_space(other)))


def _shipped_for(space: str) -> str | None:
    get_space(space)
    if space in pretrained_names():
        return space
    return next((name for name, own in _spaces().items() if is_code_of(own, space)), None)


def _spaces() -> dict[str, str]:
    return {name: Checkpoint.load(shipped_file(name)).space for name in pretrained_names()}
