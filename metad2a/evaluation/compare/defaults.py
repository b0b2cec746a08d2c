"""What the methods of a comparison mean where their texts do not say it."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from metad2a.database.published import open_folder
from metad2a.errors import ConfigError
from metad2a.models.checkpoint import Checkpoint
from metad2a.search.shipped_checkpoints import checkpoint_file, database_for, meant_space, shipped_for


@dataclass(frozen=True)
class Defaults:
    """What a method's text does not say.

    Attributes:
        checkpoint: of ``metad2a`` and ``surrogate``, see ``references``; None: what is shipped for ``space``.
        database: of ``static`` and ``static_best``; None: what the checkpoint that is shipped for ``space`` has
            learned from.
        candidates: that ``metad2a`` generates.
        proxy_candidates: random cells that a score of networks is computed for.
        device: of MetaD2A's models.
        space: that is searched, unless a checkpoint is for another code of its networks; None: that of
            ``checkpoint``, else of ``database``, else the default.
    """

    checkpoint: str | Sequence[str] | None = None
    database: str | None = None
    candidates: int = 500
    proxy_candidates: int = 100
    device: str = "auto"
    space: str | None = None

    @cached_property
    def meant(self) -> str:
        """The space that is meant.

        Raises:
            CheckpointError: there is no such checkpoint.
            ConfigError: space, checkpoint and database are of different spaces, or see ``references``.
            DatabaseError: there is no such database.
            UnknownNameError: there is no such space or checkpoint.
        """
        named = {} if self.space is None else {f"space={self.space}": self.space}
        if self.checkpoint is not None:
            first = references(self.checkpoint)[0]
            named[f"checkpoint={first}"] = Checkpoint.load(checkpoint_file(first)).space
        if self.database is not None:
            named[f"database={self.database}"] = open_folder(self.database)[1]["space"]
        return meant_space(named)

    def files_of(self, argument: str) -> list[str]:
        """Return the shipped name or the files of the checkpoint of a method with this ``argument``.

        Raises:
            CheckpointError: nothing is named, and nothing is shipped for the space; or see ``meant``.
            ConfigError: see ``references`` and ``meant``.
        """
        named = argument or self.checkpoint
        return [shipped_for(self.meant)] if named is None else references(named)

    def database_of(self, argument: str) -> str | None:
        """Return the database of a method with this ``argument``; None: none is named, nor shipped for the space.

        Raises:
            MetaD2AError: see ``meant``.
        """
        return argument or self.database or database_for(self.meant)


def references(checkpoint: Any) -> list[str]:
    """Return the shipped name or the files that ``checkpoint`` is: a text in which ``+`` joins them, or a list.

    Raises:
        ConfigError: it is something else, or nothing.
    """
    if isinstance(checkpoint, str):
        found = [checkpoint] if Path(checkpoint).is_file() else checkpoint.split("+")
    else:
        found = list(checkpoint) if isinstance(checkpoint, Sequence) else []
    if not found or not all(isinstance(one, str) and one for one in found):
        raise ConfigError(f"checkpoint={checkpoint}: give NAME or FILE, or several as A+B or [A,B].")
    return found
