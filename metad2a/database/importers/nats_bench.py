"""Importers of NAS-Bench-201 (Dong and Yang, ICLR 2020) and of NATS-Bench (Dong et al., TPAMI 2021)."""

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.benchmark_pickles import load_pickle, read_bytes, read_ends_of_curves, read_pickle
from metad2a.database.importers.benchmark_trials import Trials, check_epochs
from metad2a.database.importers.oracle_table import check_table_name
from metad2a.database.importers.provenance import file_facts
from metad2a.errors import DatabaseError
from metad2a.runtime import progress
from metad2a.spaces.nasbench201 import NASBench201

_NAS_BENCH = "NAS-Bench-201 (Dong and Yang, ICLR 2020)"
_NATS_BENCH = "NATS-Bench, topology space (Dong et al., TPAMI 2021)"
_KEYS = {200: "full", 12: "less"}
_META = "meta.pickle.pbz2"
_READERS = 4  # threads: unpacking bz2 is most of the work, and runs beside Python


def import_nasbench201(path: str | Path, out: str | Path, *, epochs: int = 200) -> int:
    """Convert NAS-Bench-201's ``.pth`` file, v1.0 or v1.1, to a table; return its number of rows.

    The file is read once from front to back and not loaded: about 1 GB of memory and some minutes.

    Args:
        path: ``NAS-Bench-201-v1_0-e61699.pth`` or ``NAS-Bench-201-v1_1-096897.pth``.
        out: a ``.csv`` or ``.parquet`` file. Its columns are those of ``benchmark_trials.RESULTS`` that the file
            has: mean accuracies over the seeds, in percent.
        epochs: of training, 200 or 12.

    Raises:
        ConfigError: other ``epochs``.
        DatabaseError: the file is missing, damaged, refused, or holds something else.
        OutputError: ``out`` cannot be written.
    """
    path = Path(path)
    check_epochs(epochs)
    check_table_name(out)
    content = read_ends_of_curves(path)
    archs = _archs(path, content)
    infos = _infos(path, content)
    trials = Trials(str(path), archs, epochs)
    for index in sorted(infos):
        trials.add(index, infos[index], _KEYS[epochs])
    command = f"metad2a import nasbench201 {path.name} OUT --epochs {epochs}"
    return trials.write(out, _NAS_BENCH, _version(path), [file_facts(path)], command)


def import_nats_bench(folder: str | Path, out: str | Path, *, epochs: int = 200) -> int:
    """Convert NATS-Bench's folder of the topology space to a table; return its number of rows.

    Trained weights, which the ``-full`` folder has, are skipped.

    Args:
        folder: ``NATS-tss-v1_0-3ffb9-simple`` or ``-full``, with ``meta.pickle.pbz2`` and a file an architecture.
        out: as for ``import_nasbench201``.
        epochs: of training, 200 or 12.

    Raises:
        ConfigError: other ``epochs``.
        DatabaseError: a file is missing, damaged, refused, or holds something else.
        OutputError: ``out`` cannot be written.
    """
    folder = Path(folder)
    check_epochs(epochs)
    check_table_name(out)
    if not (folder / _META).is_file():
        raise DatabaseError(f"{folder} lacks {_META}. Give NATS-Bench's unpacked folder of the topology space.")
    archs = _archs(folder / _META, read_pickle(folder / _META))
    files = _numbered_files(folder, len(archs))
    trials = Trials(str(folder), archs, epochs)
    digests = [f"{file_facts(folder / _META)['sha256']}  {_META}"]
    size = (folder / _META).stat().st_size
    for index, path, content in progress(_contents(files), label="read", total=len(files)):
        digests.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}")
        size += path.stat().st_size
        trials.add(index, load_pickle(path, content), str(epochs))
    digest = hashlib.sha256("".join(f"{line}\n" for line in sorted(digests, key=_file_name)).encode()).hexdigest()
    facts = {
        "file": folder.name,
        "files": len(digests),
        "bytes": size,
        "sha256": digest,
        "sha256_of": "what `sha256sum *` prints in the folder",
    }
    command = f"metad2a import nats-bench {folder.name} OUT --epochs {epochs}"
    return trials.write(out, _NATS_BENCH, _version(folder), [facts], command)


def _file_name(line: str) -> str:
    return line.split("  ", 1)[1]


def _version(path: Path) -> str | None:
    found = re.search(r"v(\d+)_(\d+)-([0-9a-f]+)", path.name)
    return f"v{found[1]}.{found[2]} ({found[3]})" if found else None


def _archs(path: Path, content: Any) -> list[str]:
    """Return the benchmark's list of cells, checked."""
    archs = content.get("meta_archs") if isinstance(content, Mapping) else None
    if not isinstance(archs, list) or not all(isinstance(text, str) for text in archs):
        raise DatabaseError(f"{path} is not the benchmark's file: it must hold a list meta_archs of texts.")
    if content.get("total_archs", len(archs)) != len(archs) or len(set(archs)) < NASBench201().size:
        raise DatabaseError(
            f"{path} is damaged: it says that there are {content.get('total_archs')} cells, and lists {len(archs)} "
            f"({len(set(archs))} distinct); NAS-Bench-201 has {NASBench201().size}."
        )
    strange = set(archs).difference(benchmark_order())
    if strange:
        raise DatabaseError(f"{path} is damaged: it lists '{min(strange)}', which is no cell of NAS-Bench-201.")
    return archs


def _infos(path: Path, content: Mapping[str, Any]) -> dict[int, Any]:
    """Return the results by the number of the cell."""
    infos = content.get("arch2infos")
    if not isinstance(infos, dict) or not infos or not all(type(index) is int for index in infos):
        raise DatabaseError(f"{path} is not NAS-Bench-201's file: it must hold a dictionary arch2infos.")
    evaluated = content.get("evaluated_indexes", infos.keys())
    if sorted(evaluated) != sorted(infos):
        raise DatabaseError(
            f"{path} is damaged: it says that {len(evaluated)} cells were evaluated, and holds {len(infos)}."
        )
    return infos


def _numbered_files(folder: Path, count: int) -> list[tuple[int, Path]]:
    """Return the files of the cells with their numbers, which are written with or without zeros in front."""
    files: dict[int, Path] = {}
    for path in folder.glob("*.pickle.pbz2"):
        number = path.name.split(".")[0]
        if number.isdecimal():
            if int(number) >= count or int(number) in files:
                raise DatabaseError(f"{path} is of no architecture, or of one that has another file.")
            files[int(number)] = path
    if not files:
        raise DatabaseError(f"{folder} has no file of an architecture, such as 000000.pickle.pbz2.")
    return sorted(files.items())


def _contents(files: Sequence[tuple[int, Path]]) -> Iterator[tuple[int, Path, bytes]]:
    """Yield number, path and unpacked bytes of each file, a few files ahead."""
    with ThreadPoolExecutor(_READERS) as pool:
        for start in range(0, len(files), 64):  # map() alone would unpack all before the first is asked for
            block = files[start : start + 64]
            for (index, path), content in zip(block, pool.map(read_bytes, [p for _, p in block]), strict=True):
                yield index, path, content
