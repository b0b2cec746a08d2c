"""The tables of a store's SQLite file, and what its errors mean."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from metad2a.database.published import RECORD_SCHEMA
from metad2a.errors import DatabaseError, OutputError

SCHEMA_VERSION = 2
COLUMNS = RECORD_SCHEMA.names
_SQL_TYPES = {pa.string(): "TEXT", pa.int64(): "INTEGER", pa.float64(): "REAL"}
_RECORD_COLUMNS = ", ".join(
    f"{column.name} {_SQL_TYPES[column.type]}" + (" PRIMARY KEY" if column.name == "key" else "")
    for column in RECORD_SCHEMA
)
# What schema 1 did not have: licences, the last build's command and plan.
_NEWER = """
CREATE {temporary} TABLE IF NOT EXISTS sources (source TEXT PRIMARY KEY, licence TEXT NOT NULL);
CREATE {temporary} TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE {temporary} TABLE IF NOT EXISTS wanted (task TEXT, recipe TEXT, jobs INTEGER, PRIMARY KEY (task, recipe));
"""
# The indices hold what counts and keys ask for: learning curves, the most of the file, are then not read.
_TABLES = f"""
CREATE TABLE IF NOT EXISTS tasks (number INTEGER PRIMARY KEY, task TEXT UNIQUE NOT NULL, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS recipes (fingerprint TEXT PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS records ({_RECORD_COLUMNS}, stored REAL);
{_NEWER.format(temporary="")}
CREATE INDEX IF NOT EXISTS records_by_task ON records (task, recipe, split, status, seconds);
CREATE INDEX IF NOT EXISTS records_failed ON records (key) WHERE status = 'failed';
CREATE INDEX IF NOT EXISTS records_by_time ON records (stored);
PRAGMA user_version = {SCHEMA_VERSION};
"""


def prepare(db: sqlite3.Connection, path: Path, *, read_only: bool) -> None:
    """Make the tables of a file that is opened, or those that an older one lacks.

    Raises:
        DatabaseError: the file is of a newer program, or (``read_only``) nothing was written to it yet.
    """
    (found,) = db.execute("PRAGMA user_version").fetchone()
    if found > SCHEMA_VERSION:
        raise DatabaseError(
            f"{path} has schema {found}; this program knows up to {SCHEMA_VERSION}. Upgrade metad2a."
        )
    if not read_only:
        db.execute("PRAGMA journal_mode = WAL")
        if found == 1:
            db.execute("ALTER TABLE records ADD COLUMN stored REAL")
        db.executescript(f"BEGIN; {_TABLES} COMMIT;")
    elif found == 0:
        raise DatabaseError(f"{path} is no database, or one that nothing was written to yet.")
    elif found == 1:
        db.executescript(_NEWER.format(temporary="TEMPORARY"))
        db.execute("CREATE TEMPORARY VIEW records AS SELECT *, NULL AS stored FROM main.records")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Say what an error of SQLite means for whoever uses the store at ``path``.

    Raises:
        OutputError: there is no space left, or the file cannot be written.
        DatabaseError: the file is damaged, in use, no database, or opened to be read only.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error


def _explained(path: Path, error: sqlite3.Error) -> DatabaseError | OutputError:
    exact = getattr(error, "sqlite_errorcode", 0)
    code = exact & 0xFF  # the rest says more about the same
    unreadable = exact in (sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ)
    if not unreadable and code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN):
        return OutputError(
            f"cannot write {path}: {error}. Is there space left? What was stored before is safe: make room and run "
            "the same command again."
        )
    if unreadable or code == sqlite3.SQLITE_CORRUPT:
        return DatabaseError(
            f"{path} is damaged: {error}. `metad2a database verify {path} --repair` saves what can be read; the "
            "same build again computes the rest."
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return DatabaseError(f"another program holds {path}: {error}. Wait until it is done, or stop it.")
    if code == sqlite3.SQLITE_READONLY:
        return DatabaseError(f"{path} is opened to be read only: {error}.")
    return DatabaseError(f"{path} cannot be used as a database: {error}. Give another file name.")
