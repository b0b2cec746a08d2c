"""The file that ``metad2a search --json`` writes, read again."""

import json
from pathlib import Path
from typing import Any

from metad2a.errors import ConfigError
from metad2a.search.result import SCHEMA_VERSION

_KINDS = {
    "schema_version": int,
    "space": str,
    "candidates": list,
    # Results of older versions lack some of these.
    "scale": dict | None,
    "resolution": int | None,
    "dataset": dict | None,
    "then_train": dict | None,
    "queries": dict | None,
}
_OF_A_CANDIDATE = {"rank", "arch"}
_WRITE = "Write such a file with `metad2a search IMAGES --json FILE`."


def read_result(path: Path) -> dict[str, Any]:
    """Return the content of a file of ``metad2a search --json``, whose keys that others read are there.

    Raises:
        ConfigError: it cannot be read or is no such file; the message says what is missing and what writes one.
    """
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}. {_WRITE}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is no result of a search: it is no JSON ({error}). {_WRITE}") from error
    wrong = _wrong(content)
    if wrong:
        raise ConfigError(f"{path} is no result of a search: {wrong}. {_WRITE}")
    return dict(content)


def _wrong(content: Any) -> str:
    """Return what is wrong with ``content``; empty if nothing is."""
    if not isinstance(content, dict):
        return "it does not hold keys and values"
    unusable = [f"'{name}'" for name, kind in _KINDS.items() if not isinstance(content.get(name), kind)]
    if unusable:
        return f"it has no usable {', '.join(unusable)}"
    if content["schema_version"] != SCHEMA_VERSION:
        return f"its schema_version is {content['schema_version']}, and this metad2a reads {SCHEMA_VERSION}"
    if not all(isinstance(one, dict) and one.keys() >= _OF_A_CANDIDATE for one in content["candidates"]):
        return "a candidate in it lacks 'rank' or 'arch'"
    return ""
