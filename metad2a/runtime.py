"""What every room needs from the machine: random streams, devices, safe files, shipped files, progress."""

import ctypes
import hashlib
import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from metad2a.errors import ConfigError, OutputError, UserError

T = TypeVar("T")


# --- random streams -------------------------------------------------------------------------------------------


def stream_seed(*key: int | str) -> int:
    """Return a 63-bit seed that depends on every part of ``key`` and on nothing else.

    Every random decision draws from a stream named by what it is for (run seed, purpose, epoch), never from
    global state. So a resumed run needs no saved generator, and adding a draw in one place moves no other.
    """
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in key)
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).digest(), "big") >> 1


def numpy_rng(*key: int | str) -> np.random.Generator:
    """Return the NumPy generator of the stream ``key``."""
    return np.random.default_rng(stream_seed(*key))


def torch_rng(*key: int | str) -> Any:
    """Return the CPU ``torch.Generator`` of the stream ``key``."""
    import torch

    return torch.Generator().manual_seed(stream_seed(*key))


# --- devices --------------------------------------------------------------------------------------------------

DEVICES = ("auto", "cpu", "cuda", "mps")


def resolve_device(name: str = "auto") -> str:
    """Return ``cpu``, ``cuda`` or ``mps``; ``auto`` takes the best that is there.

    Raises:
        ConfigError: an unknown device, or one this machine does not have.
    """
    import torch

    if name not in DEVICES:
        raise ConfigError(f"unknown device '{name}'. Choose one of {', '.join(DEVICES)}.")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present[name]:
        raise ConfigError(f"device '{name}' was asked for, but torch finds none here. Use device=auto.")
    return name


# --- the process ----------------------------------------------------------------------------------------------

# Names and numbers of glibc's malloc.h.
_MALLOC = {"M_TRIM_THRESHOLD": (-1, 2**31 - 1), "M_TOP_PAD": (-2, 2**26), "M_MMAP_THRESHOLD": (-3, 2**30)}


def keep_freed_memory() -> None:
    """Let this process keep the memory that it frees, for its next step; does nothing without glibc.

    Left to itself glibc returns large blocks to the system and asks for them again, zeroed page by page, in every
    training step. It is a decision about a whole process: programs take it, libraries do not.
    """
    with suppress(OSError, AttributeError, TypeError):
        mallopt = ctypes.CDLL(None).mallopt
        for parameter, value in _MALLOC.values():
            mallopt(parameter, value)


# --- files ----------------------------------------------------------------------------------------------------


_ROOM = 2**14  # bytes that must be left where something is to be written


@contextmanager
def atomic_path(target: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target`` and move it there when the block ends well.

    A reader never sees half a file, and a failure leaves nothing behind.

    Raises:
        OutputError: the folder cannot be made or written.
    """
    target = Path(target)
    check_writable(target, make_folder=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
    except OSError as error:
        if isinstance(error, UserError):
            raise
        raise OutputError(f"cannot write {target}: {error.strerror or error}.") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


def check_writable(target: str | Path, *, make_folder: bool = False) -> None:
    """Fail now rather than after the work whose result is ``target``; nothing is left but what is asked for.

    Args:
        target: file to be written.
        make_folder: make its folder, for it is written now.

    Raises:
        OutputError: ``target`` is a folder, its folder cannot be made or written, or there is no space left.
    """
    target = Path(target)
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder. Give a file name.")
    try:
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        there = next(folder for folder in target.absolute().parents if folder.exists())
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_ROOM))
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror or error}. Choose another place.") from error


def write_text(target: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8, atomically."""
    with atomic_path(target) as path:
        path.write_text(text, encoding="utf-8")


def write_json(target: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON, atomically; NaN and infinity are refused (they are not JSON)."""
    write_text(target, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, which is not loaded."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shipped(*parts: str) -> Path:
    """Return the path of a shipped file or folder: ``shipped("conf")``, ``shipped("data", "demo")``.

    In a wheel they lie inside the package, in a checkout at the top level.

    Raises:
        ConfigError: it is in neither place.
    """
    package = Path(__file__).resolve().parent
    room, *rest = parts
    installed = {"conf": package / "conf", "data": package / "assets"}[room]
    for root in (installed, package.parent / room):
        if root.is_dir():
            return root.joinpath(*rest)
    raise ConfigError(f"'{'/'.join(parts)}' is not installed with metad2a. Reinstall it, or run from a checkout.")


def cache_dir() -> Path:
    """Return the folder of recomputable files: ``METAD2A_CACHE``, else the user's cache folder."""
    explicit = os.environ.get("METAD2A_CACHE")
    if explicit:
        return Path(explicit)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "metad2a"


def new_run_id() -> str:
    """Return an id that sorts by time and is unique, like ``20261121-204836-f53b``.

    ``METAD2A_RUN_ID`` overrides it, so that all processes of one run agree.
    """
    given = os.environ.get("METAD2A_RUN_ID")
    return given or time.strftime("%Y%m%d-%H%M%S-") + os.urandom(2).hex()


# --- progress -----------------------------------------------------------------------------------------------

_LOG_EVERY_S = 30.0


class Bar:
    """A bar with text and time left on a terminal; elsewhere a log line every 30 seconds.

    ``METAD2A_NO_PROGRESS=1`` silences it everywhere.

    Args:
        label: what is done.
        total: number of items; None when nobody knows.
        done: items that were done before.
        unit: what an item is; where it is given, so many a minute are shown, too.
    """

    def __init__(self, label: str, total: int | None, *, done: int = 0, unit: str = "") -> None:
        self._label, self._total, self._done, self._unit = label, total, done, unit
        self._start_done, self._start = done, time.monotonic()
        self._logged = self._start
        self._silent = bool(os.environ.get("METAD2A_NO_PROGRESS"))
        self._bar: Any = None

    def __enter__(self) -> "Bar":
        if not self._silent and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._bar = Progress(
                *columns,
                console=Console(stderr=True),
                transient=True,
                speed_estimate_period=3600,  # an item can take minutes
            )
            self._bar.start()
            self._task = self._bar.add_task(self._label, total=self._total, completed=self._done)
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, text: str = "") -> None:
        """Count one more item; ``text`` stands beside the label."""
        self._done += 1
        label = "  ".join(part for part in (self._label, self._rate(), text) if part)
        if self._bar is not None:
            self._bar.update(self._task, advance=1, description=label)
        elif not self._silent and time.monotonic() - self._logged >= _LOG_EVERY_S:
            self._logged = time.monotonic()
            logging.getLogger("metad2a.progress").info("%s", f"{label}  {self._count()}")

    def _per_second(self) -> float:
        return (self._done - self._start_done) / max(time.monotonic() - self._start, 1e-9)

    def _rate(self) -> str:
        return f"{60 * self._per_second():.3g} {self._unit}/min" if self._unit else ""

    def _count(self) -> str:
        if self._total is None:
            return str(self._done)
        return f"{self._done}/{self._total}, {duration((self._total - self._done) / self._per_second())} left"


def duration(seconds: float) -> str:
    """Return a time in words, to two digits or so: ``40 s``, ``12 min``, ``3 h 20 min``, ``2 d 5 h``."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"


def progress(items: Iterable[T], *, label: str, total: int | None = None) -> Iterator[T]:
    """Yield ``items`` behind a ``Bar``."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with Bar(label, total) as bar:
        for item in items:
            yield item
            bar.advance()
