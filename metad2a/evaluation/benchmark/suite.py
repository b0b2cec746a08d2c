"""Running the cases: one row of numbers each, and what they say about the marks."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatch
from importlib.util import find_spec
from typing import Any

from metad2a import plugins
from metad2a.errors import unknown_name
from metad2a.evaluation.benchmark.cases import CASES, Case
from metad2a.evaluation.benchmark.measure import (
    count_flops,
    in_fresh_process,
    machine,
    peak_mb,
    product_gflops,
    time_work,
)
from metad2a.runtime import progress

SCHEMA_VERSION = 1
KIND = "benchmark"
OFFICIAL_GFLOPS = 118.0  # of the core on which the official seconds were taken


@dataclass(frozen=True)
class Mark:
    """Something to reach.

    Attributes:
        what: what was measured.
        value: how much it is.
        limit: how much it has to be.
        reached: whether it is.
    """

    what: str
    value: float
    limit: float
    reached: bool


@dataclass(frozen=True)
class Row:
    """What was measured in one case. GFLOP are counted with two for a multiply-add.

    Attributes:
        name: of the case.
        what: for people.
        unit: what ``items`` counts.
        items: made by one execution.
        skipped: why nothing was measured; None for a case that was.
        repeats: executions timed, after a warm-up.
        cpu_s: CPU seconds of one, all threads together: median, smallest, largest.
        cpu_min_s: see ``cpu_s``.
        cpu_max_s: see ``cpu_s``.
        wall_s: median seconds on the clock.
        items_per_s: by the clock.
        peak_mb: most memory of the whole process, in 10^6 bytes.
        gflop: of one execution: matrix products and convolutions.
        gflops: GFLOP per CPU second.
        product_gflops: what a 2048 x 2048 x 2048 float32 product reaches in the same process on as many threads.
        core_gflops: the same on one thread (for several, in a process of its own).
        share: ``gflops / product_gflops``.
        official_s: CPU seconds of the official implementation, on its core.
        official_scaled_s: the same, scaled by the speed of this core.
        times_faster: ``official_scaled_s / cpu_s``.
        floor_s: seconds that the floor would take as one matrix product.
        numbers: what the case reports beside its cost.
        marks: of the case.
    """

    name: str
    what: str
    unit: str
    items: int
    skipped: str | None = None
    repeats: int = 0
    cpu_s: float | None = None
    cpu_min_s: float | None = None
    cpu_max_s: float | None = None
    wall_s: float | None = None
    items_per_s: float | None = None
    peak_mb: float | None = None
    gflop: float | None = None
    gflops: float | None = None
    product_gflops: float | None = None
    core_gflops: float | None = None
    share: float | None = None
    official_s: float | None = None
    official_scaled_s: float | None = None
    times_faster: float | None = None
    floor_s: float | None = None
    numbers: dict[str, float] | None = None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True)
class Measured:
    """What the process of a case hands back; see ``Row``."""

    cpu: Sequence[float]
    cpu_s: float
    wall_s: float
    peak_mb: float
    flops: int
    product_gflops: float
    numbers: dict[str, float] | None


def choose(pattern: str | None, names: Iterable[str], kind: str) -> list[str]:
    """Return those of ``names`` that match ``pattern``: a part of the name, or with ``*`` and ``?`` all of it.

    Raises:
        UnknownNameError: none does.
    """
    known = list(names)
    wildcard = pattern is not None and ("*" in pattern or "?" in pattern)
    chosen = [
        name for name in known if pattern is None or (fnmatch(name, pattern) if wildcard else pattern in name)
    ]
    if not chosen:
        raise unknown_name(kind, str(pattern), known)
    return chosen


def run(
    *,
    only: str | None = None,
    threads: int = 1,
    repeats: int | None = None,
) -> dict[str, Any]:
    """Measure cases, each in a fresh process.

    Args:
        only: which; see ``choose``.
        threads: compute threads.
        repeats: timed executions; None for as many as a steady median needs.

    Returns:
        The content of ``metad2a benchmark --json FILE``.

    Raises:
        UnknownNameError: ``only`` fits no case.
        MetaD2AError: a process was killed.
    """
    chosen = choose(only, (case.name for case in CASES), "case")
    cases = [case for case in CASES if case.name in chosen]
    # Of one thread where no others are: idle ones of the same process would burn its CPU seconds.
    core = None if threads == 1 else in_fresh_process(product_gflops, 1, threads=1)
    rows = [_row(case, threads, repeats, core) for case in progress(cases, label="benchmark")]
    speeds = {name: _median(getattr(row, name) for row in rows) for name in ("product_gflops", "core_gflops")}
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(threads) | speeds,
        "rows": [asdict(row) for row in rows],
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def _row(case: Case, threads: int, repeats: int | None, core: float | None) -> Row:
    row = Row(case.name, case.what, case.unit, case.items)
    if case.space not in plugins.names("spaces"):
        return replace(row, skipped=f"there is no search space '{case.space}' here")
    if case.package is not None and find_spec(case.package) is None:
        return replace(row, skipped=f"the package {case.package} is not installed")
    found = in_fresh_process(_measure, case.name, threads, repeats, threads=threads)
    core = core or found.product_gflops
    gflop = found.flops / 1e9
    gflops = gflop / found.cpu_s
    scaled = None if case.official_s is None else case.official_s * OFFICIAL_GFLOPS / core
    floor_flops = found.flops if case.floor == "own" else case.floor
    floor_s = None if floor_flops is None else int(floor_flops) / 1e9 / core
    return replace(
        row,
        repeats=len(found.cpu),
        cpu_s=found.cpu_s,
        cpu_min_s=min(found.cpu),
        cpu_max_s=max(found.cpu),
        wall_s=found.wall_s,
        items_per_s=case.items / found.wall_s,
        peak_mb=found.peak_mb,
        gflop=gflop,
        gflops=gflops,
        product_gflops=found.product_gflops,
        core_gflops=core,
        share=gflops / found.product_gflops,
        official_s=case.official_s,
        official_scaled_s=scaled,
        times_faster=None if scaled is None else scaled / found.cpu_s,
        floor_s=floor_s,
        numbers=found.numbers,
        marks=_marks(case, found, scaled, floor_s),
    )


def _marks(case: Case, found: Measured, scaled: float | None, floor_s: float | None) -> tuple[Mark, ...]:
    marks = []
    if case.at_most is not None and scaled is not None:
        times, wanted = scaled / found.cpu_s, 1 / case.at_most
        marks.append(Mark("times faster", times, wanted, times >= wanted))
    if case.within is not None and floor_s is not None:
        times = found.cpu_s / floor_s
        marks.append(Mark("times the floor", times, case.within, times <= case.within))
    numbers = found.numbers or {}
    for name, least in case.at_least.items():
        value = numbers[name]
        marks.append(Mark(name, value, least, value >= least))
    return tuple(marks)


def _measure(name: str, threads: int, repeats: int | None) -> Measured:
    """Measure one case in this process."""
    case = next(case for case in CASES if case.name == name)
    work = case.setup()
    work()
    timing = time_work(work, repeats=repeats)
    peak = peak_mb()  # before anything that only the benchmark needs
    return Measured(
        cpu=timing.cpu,
        cpu_s=timing.cpu_s,
        wall_s=timing.wall_s,
        peak_mb=peak,
        flops=count_flops(work),
        product_gflops=product_gflops(threads),
        numbers=timing.result if isinstance(timing.result, dict) else None,
    )
