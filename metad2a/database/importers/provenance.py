"""What was read to make a file: part of a database's manifest, or of a JSON file beside it."""

from pathlib import Path
from typing import Any

from metad2a.errors import DatabaseError
from metad2a.runtime import sha256


def file_facts(path: Path) -> dict[str, Any]:
    """Return name, size in bytes and SHA-256 of a file that was read.

    Raises:
        DatabaseError: it cannot be read.
    """
    try:
        return {"file": path.name, "bytes": path.stat().st_size, "sha256": sha256(path)}
    except OSError as error:
        raise DatabaseError(f"cannot read {path}: {error.strerror or error}.") from error


def sidecar(path: str | Path) -> Path:
    """Return the file that says where the one at ``path`` comes from: ``table.csv.json`` for ``table.csv``."""
    path = Path(path)
    return path.with_name(f"{path.name}.json")
