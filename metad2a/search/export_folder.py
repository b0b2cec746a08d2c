"""The folder of an exported network: it appears whole or not at all, and takes the place of nothing but another."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from metad2a.errors import OutputError, UserError
from metad2a.runtime import check_writable, sha256

CARD_FILE = "card.json"
KIND = "metad2a network"
_CACHE = "__pycache__"
_RANK = re.compile(r"rank[1-9][0-9]*")


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well.

    An earlier export in ``target`` is replaced if it is as it was written.

    Raises:
        OutputError: something else is in ``target``, or it cannot be written.
    """
    target = target.expanduser().resolve()
    check_replaceable(target)
    check_writable(target.parent / f".{target.name}.tmp", make_folder=True)
    temporary, old = (target.with_name(f".{target.name}.{os.urandom(4).hex()}.{end}") for end in ("tmp", "old"))
    try:
        temporary.mkdir()
        yield temporary
        if target.exists():
            target.rename(old)
        temporary.rename(target)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise OutputError(f"cannot write {target}: {error.strerror or error}.") from error
    finally:
        if old.exists() and not target.exists():
            old.rename(target)
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def check_replaceable(target: Path) -> None:
    """Fail if ``target`` holds anything but an earlier export, as it was written.

    Raises:
        OutputError: the message names the file that would be lost.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputError(f"cannot write {target}: it is a file. Give a folder.")
    folders = [entry for entry in target.iterdir() if entry.name != _CACHE]
    ranked = folders and all(entry.is_dir() and _RANK.fullmatch(entry.name) for entry in folders)
    lost = next(filter(None, map(_lost, folders)), None) if ranked else _lost(target)
    if lost is not None:
        raise OutputError(
            f"cannot write {target}: it is not empty, and {lost} is not as an earlier export left it. "
            "Choose another folder, or remove this one."
        )


def _lost(folder: Path) -> Path | None:
    """Return a file in ``folder`` that no export wrote, or that was changed since; None if there is none."""
    present = sorted(entry for entry in folder.iterdir() if entry.name != _CACHE)
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        digests = dict(card["files"]) if card["kind"] == KIND else {}
    except (OSError, ValueError, KeyError, TypeError):
        digests = {}
    for entry in present:
        if not digests or not entry.is_file():
            return entry
        if entry.name != CARD_FILE and digests.get(entry.name) != sha256(entry):
            return entry
    return None
