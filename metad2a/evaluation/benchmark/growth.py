"""How time and memory grow with candidates, classes, images and meta-training records."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch

from metad2a.evaluation.benchmark.inputs import Size, random_features, random_metad2a, random_predictor
from metad2a.evaluation.benchmark.measure import Work, in_fresh_process, machine, peak_mb, time_work, watch_memory
from metad2a.evaluation.benchmark.suite import choose
from metad2a.runtime import numpy_rng, progress
from metad2a.spaces.registry import get_space
from metad2a.training.meta_data import MetaData
from metad2a.training.predictor_objective import PredictorObjective
from metad2a.training.selection import best_rows

SCHEMA_VERSION = 1
KIND = "growth"
LINEAR = 1.1  # the largest slope on log axes that still counts as linear
_AT_LEAST_S = 1.0
_SMALL = Size(feature_dim=8, generator_hidden=8, predictor_hidden=8, latent=8)
_RECORD_BATCH = 1024
_RECORD_CLASSES, _RECORD_TASK, _RECORD_IMAGES = 200, 3, 2


@dataclass(frozen=True)
class Axis:
    """Something that grows.

    Args:
        name: of what grows.
        what: what is done to it.
        sizes: ascending.
        setup: makes the inputs of one size and returns the work.
        bounded_by: what keeps the memory of the work bounded.
    """

    name: str
    what: str
    sizes: tuple[int, ...]
    setup: Callable[[int], Work]
    bounded_by: str


@dataclass(frozen=True)
class Point:
    """One measurement.

    Attributes:
        axis: what grows.
        size: how much of it there is.
        cpu_s: CPU seconds, all threads together (median, if short enough to be repeated).
        wall_s: seconds on the clock.
        peak_mb: most memory of the process, in 10^6 bytes.
        work_mb: the part of it that was needed beside the inputs.
    """

    axis: str
    size: int
    cpu_s: float
    wall_s: float
    peak_mb: float
    work_mb: float


@dataclass(frozen=True)
class Trend:
    """How one axis grows over its largest decade, as slopes on log axes: 1 is linear.

    Attributes:
        axis: what grows.
        what: what is done to it.
        time: slope of the CPU seconds.
        memory: slope of the peak memory.
        linear: whether neither grows faster than linearly.
        bounded_by: what keeps the memory of the work bounded.
    """

    axis: str
    what: str
    time: float
    memory: float
    linear: bool
    bounded_by: str


# --- what grows -----------------------------------------------------------------------------------------------


def _candidates(n: int) -> Work:
    model, features = random_metad2a("mobilenetv3"), random_features(10, 50)
    return lambda: model.search(features, n_candidates=n)


def _classes(n: int) -> Work:
    model, features = random_metad2a("nasbench201"), random_features(n, 20)
    return lambda: model.search(features, n_candidates=500)


def _images(n: int) -> Work:
    model, features = random_metad2a("nasbench201", images_per_class=n), random_features(10, n)
    return lambda: model.search(features, n_candidates=500)


def _records(n: int) -> Work:
    space, data = get_space("nasbench201"), _random_records(n)
    model = random_predictor(space, _SMALL)
    optimizer = torch.optim.Adam(model.parameters())
    objective = PredictorObjective(
        data=data,
        train_rows=data.train_rows,
        valid_rows=data.valid_rows,
        batch_size=_RECORD_BATCH,
        images_per_class=_RECORD_IMAGES,
        seed=0,
    )

    def epoch() -> None:
        for batch in objective.batches(0):
            optimizer.zero_grad(set_to_none=True)
            objective.loss(model, batch)["loss"].backward()
            optimizer.step()

    return epoch


def _selection(n: int) -> Work:
    data = _random_records(n)
    return lambda: best_rows(data, data.train_rows, 0.5)


def _random_records(n: int) -> MetaData:
    """Return ``n`` records of random tasks, ten of each, and random cells."""
    space, rng = get_space("nasbench201"), numpy_rng("benchmark", "records")
    archs = list(space.enumerate())
    tasks = rng.integers(0, _RECORD_CLASSES, (max(1, n // 10), _RECORD_TASK))
    valid = np.zeros(n, dtype=bool)
    valid[: max(1, n // 100)] = True
    small = random_features(_RECORD_CLASSES, 2 * _RECORD_IMAGES, dim=_SMALL.feature_dim)
    return MetaData(
        features=small,
        tasks=torch.from_numpy(tasks),
        archs=space.encode(archs),
        arch_names=tuple(space.format(arch) for arch in archs),
        task_of=torch.from_numpy(np.arange(n) % len(tasks)),
        arch_of=torch.from_numpy(rng.integers(0, len(archs), n)),
        accuracy=torch.from_numpy(rng.normal(70, 5, n).astype(np.float32)),
        valid=torch.from_numpy(valid),
    )


_DRAWS = "images are drawn in batches of 16,000,000 numbers (search/generation.py, _FEATURE_BUDGET)"
AXES = (
    Axis(
        "candidates",
        "search on MobileNetV3, 10 classes x 50 images",
        (500, 1_500, 5_000, 15_000, 50_000),
        _candidates,
        "decoded 512 (search/generation.py, _GRAPHS_A_ROUND) and scored 1,024 (search/predictor_ranker.py, "
        "_GRAPHS_A_BATCH) at a time; what is found is kept",
    ),
    Axis(
        "classes",
        "search for 500 cells, 20 images a class",
        (10, 30, 100, 300, 1_000),
        _classes,
        _DRAWS,
    ),
    Axis(
        "images per class",
        "search for 500 cells, 10 classes, sets of all images",
        (20, 50, 100, 200, 500),
        _images,
        _DRAWS,
    ),
    Axis(
        "records",
        f"one epoch of a small predictor, batches of {_RECORD_BATCH:,}",
        (1_000, 10_000, 100_000, 1_000_000),
        _records,
        "one batch of records is drawn at a time (training/objectives.py, batch_size)",
    ),
    Axis(
        "records to select from",
        "the better half of the records, for a generator",
        (1_000, 10_000, 100_000, 1_000_000),
        _selection,
        "not bounded: a sparse row a record is kept (training/selection.py)",
    ),
)


# --- measuring ------------------------------------------------------------------------------------------------


def run(
    *,
    only: str | None = None,
    quick: bool = False,
    threads: int = 1,
) -> dict[str, Any]:
    """Measure every size of every axis, each in a fresh process.

    Args:
        only: which axes; see ``choose``.
        quick: only the two smallest sizes of each: does it run?
        threads: compute threads.

    Returns:
        The content of ``metad2a benchmark growth --json FILE``.

    Raises:
        UnknownNameError: ``only`` fits no axis.
        MetaD2AError: a process was killed.
    """
    chosen = choose(only, (axis.name for axis in AXES), "axis")
    axes = [axis for axis in AXES if axis.name in chosen]
    todo = [(axis.name, size) for axis in axes for size in axis.sizes[: 2 if quick else None]]
    points = [
        in_fresh_process(_measure, *item, threads=threads) for item in progress(todo, label="benchmark growth")
    ]
    trends = [_trend(axis, [point for point in points if point.axis == axis.name]) for axis in axes]
    return {
        "schema_version": SCHEMA_VERSION,
        "kind": KIND,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(threads),
        "rows": [asdict(point) for point in points],
        "trends": [asdict(trend) for trend in trends],
    }


def slope(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return the least-squares slope of ``values`` over the largest decade of ``sizes``, on log axes.

    Two sizes at least are compared, if they lie further apart than that. All numbers are positive.
    """
    order = np.argsort(sizes)
    x, y = np.log10(np.asarray(sizes, dtype=float)[order]), np.log10(np.asarray(values, dtype=float)[order])
    first = min(int(np.searchsorted(x, x[-1] - 1 - 1e-9)), len(x) - 2)
    return float(np.polyfit(x[first:], y[first:], 1)[0])


def _trend(axis: Axis, points: Sequence[Point]) -> Trend:
    sizes = [point.size for point in points]
    time = slope(sizes, [point.cpu_s for point in points])
    memory = slope(sizes, [point.peak_mb for point in points])
    return Trend(axis.name, axis.what, time, memory, max(time, memory) <= LINEAR, axis.bounded_by)


def _measure(name: str, size: int) -> Point:
    """Measure one point in this process."""
    axis = next(axis for axis in AXES if axis.name == name)
    axis.setup(axis.sizes[0])()  # a warm-up that costs little
    work = axis.setup(size)
    with watch_memory() as needed:
        timing = time_work(work, at_least=1, at_least_s=_AT_LEAST_S)
        return Point(name, size, timing.cpu_s, timing.wall_s, peak_mb(), needed())
