"""Finished work is kept in small files, named by all that it depends on: none is taken for another's."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from metad2a.runtime import write_json

VERSION = 1
"""Counts up when the same configuration gives other results."""


class Kept:
    """A folder of finished results.

    Args:
        folder: for the files; it may be shared by several comparisons.
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    def path(self, what: Mapping[str, Any]) -> Path:
        """Return the file of the result that depends on ``what``, plain data."""
        content = json.dumps({"version": VERSION, **what}, sort_keys=True)
        key = hashlib.blake2b(content.encode(), digest_size=10).hexdigest()
        return self._folder / key[:2] / f"{key[2:]}.json"

    def get(self, what: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the result, None where it is not there yet."""
        path = self.path(what)
        try:
            return dict(json.loads(path.read_text(encoding="utf-8"))["result"])
        except (OSError, ValueError, KeyError, TypeError):  # absent, or damaged: it is made again
            return None

    def once(self, what: Mapping[str, Any], make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the result, made now or in an earlier session."""
        found = self.get(what)
        if found is None:
            found = make()
            self.put(what, found)
        return found

    def put(self, what: Mapping[str, Any], result: Mapping[str, Any]) -> None:
        """Keep ``result``, which depends on ``what``."""
        path = self.path(what)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, {"of": dict(what), "result": dict(result)})
