"""A whole comparison from plain texts, the same in every process."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from metad2a.data.opening import open_data
from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError
from metad2a.evaluation.asking import SAMPLE
from metad2a.evaluation.compare.asked_judge import AskedJudge, open_judge
from metad2a.evaluation.compare.calibration import calibration_rows
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.generated import generated_rows
from metad2a.evaluation.compare.grid import Grid, Trial, run_grid
from metad2a.evaluation.compare.judge import Noise
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.learned_method import LearnedMethod
from metad2a.evaluation.compare.methods import Method
from metad2a.evaluation.compare.networks import COSTS, check_cost, costs_of
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.provenance import audits, provenance_rows
from metad2a.evaluation.compare.ranks import rank_rows
from metad2a.evaluation.compare.results import Comparison
from metad2a.evaluation.compare.specs import open_methods
from metad2a.evaluation.compare.summary import summarise
from metad2a.evaluation.compare.unseen import features_of, labelled_tasks, unseen_rows
from metad2a.search.shipped_checkpoints import is_code_of
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.registry import get_space


@dataclass(frozen=True)
class MetaValidation:
    """Tasks of a database that scores are ranked on.

    Attributes:
        database: folder, or the name of a shipped one.
        split: see ``metad2a.database.splits``.
        images: of its sources, see ``metad2a.training.features``.
        max_images_per_class: embedded of them.
    """

    database: str
    split: str = "auto"
    images: tuple[str, ...] = ()
    max_images_per_class: int = 50


@dataclass(frozen=True)
class Settings:
    """What ``metad2a compare`` is told; see conf/compare.yaml."""

    methods: tuple[str, ...]
    datasets: tuple[str, ...]
    oracles: tuple[str, ...]
    kept: str
    budgets: tuple[int, ...] = (1, 2, 5, 10, 30, 100, 500)
    batch: int = 1
    images_per_class: int = 50
    others: tuple[str, ...] = ()
    noise: Noise = field(default_factory=Noise)
    seconds_column: str = ""
    sample: int = SAMPLE
    cost: str = COSTS[0]
    reference: tuple[float, ...] = ()
    defaults: Defaults = field(default_factory=Defaults)


def open_grid(settings: Settings) -> Grid:
    """Return what is compared.

    Raises:
        ConfigError: the data sets are not as many as the oracles, there is no budget, the reference is none, a
            method knows another space, or see ``open_methods`` and ``Defaults.meant``.
        CheckpointError: a method, or a supernet, cannot be used.
        DataError: a data set or an oracle cannot be used.
        UnknownNameError: there is no such cost, see ``open_methods`` and ``open_judge``.
    """
    datasets, oracles = settings.datasets, settings.oracles
    if not oracles:
        raise ConfigError(
            "no oracle was given. Set oracles=[FILE:COLUMN] (a table, an accuracy predictor or a supernet)."
        )
    if len(datasets) not in (1, len(oracles)):
        raise ConfigError(
            f"{len(datasets)} datasets for {len(oracles)} oracles: give one for each, or one for all."
        )
    if not settings.budgets or min(settings.budgets) < 1:
        raise ConfigError(f"budgets={list(settings.budgets)}: give numbers of at least 1.")
    check_cost(settings.cost)
    if len(settings.reference) not in (0, 2) or min(settings.reference, default=1) <= 0:
        raise ConfigError(
            f"reference={list(settings.reference)}: give two numbers above 0, an error in percent and a cost."
        )
    methods = open_methods(settings.methods, settings.defaults)
    space = _space(settings.defaults.meant, methods)
    problems = _problems(settings, space, shuffled=any(method.shuffled for method in methods))
    for method in methods:
        for problem in problems.values():
            method.check(problem)
    specs = datasets if len(datasets) == len(oracles) else datasets * len(oracles)
    trials = [_trial(settings, problems[spec], oracle) for spec, oracle in zip(specs, oracles, strict=True)]
    return Grid(methods, trials, max(settings.budgets), Path(settings.kept), settings.batch)


def _space(meant: str, methods: Sequence[Method]) -> SearchSpace:
    """Return the space that is searched: that of the models, where it is another code of the networks ``meant``."""
    known = (method.checkpoint.space for method in methods if isinstance(method, LearnedMethod))
    return get_space(next((own for own in known if is_code_of(own, meant)), meant))


def _trial(settings: Settings, problem: Problem, oracle: str) -> Trial:
    """Return a data set and its oracle, whose networks' cost counts."""
    judge = open_judge(
        oracle,
        problem.space,
        kept=Kept(settings.kept),
        noise=settings.noise,
        seconds_column=settings.seconds_column,
        sample=settings.sample,
    )
    space, classes = problem.space, problem.num_classes
    networks = costs_of(judge.oracle, space, classes) if isinstance(judge, AskedJudge) else None
    return Trial(replace(problem, networks=networks, cost=settings.cost), judge)


def _problems(settings: Settings, space: SearchSpace, *, shuffled: bool) -> dict[str, Problem]:
    """Return the problem of each data set; the ``others`` are opened if a method shuffles data sets."""
    opened = {spec: open_data(spec) for spec in (*settings.datasets, *(settings.others if shuffled else ()))}
    return {
        spec: Problem(
            space,
            opened[spec],
            settings.images_per_class,
            tuple(data for other, data in opened.items() if other != spec) if shuffled else (),
        )
        for spec in settings.datasets
    }


def compare(
    settings: Settings,
    *,
    seeds: int,
    baseline: str,
    processes: int = 1,
    rank_seeds: int = 3,
    meta_validation: MetaValidation | None = None,
) -> Comparison:
    """Run a whole comparison; what an earlier one in the same ``kept`` folder has computed is not computed again.

    Args:
        settings: what is compared.
        seeds: searches of each method.
        baseline: label of the method that the paired tests are against.
        processes: that search side by side.
        rank_seeds: of the rank quality over all cells; 0 computes none.
        meta_validation: scores are ranked on its tasks, too.

    Raises:
        UnknownNameError: no method is called like ``baseline``.
        ConfigError: see ``open_grid``, or there is no seed.
    """
    grid = open_grid(settings)
    learned = [method for method in grid.methods if isinstance(method, LearnedMethod)]
    scored = [method for method in learned if method.scorers]
    found = run_grid(grid, range(seeds), processes=processes, opener=partial(open_grid, settings))
    result = summarise(
        grid,
        found,
        seeds=range(seeds),
        budgets=sorted(set(settings.budgets)),
        baseline=baseline,
        reference=(settings.reference[0], settings.reference[1]) if settings.reference else None,
    )
    ranks = rank_rows(grid, range(rank_seeds)) if rank_seeds else []
    calibrated = _calibrated(scored, grid.trials) if rank_seeds else []
    unseen: list[dict[str, Any]] = []
    if meta_validation is not None:
        database = MetaDatabase.load(meta_validation.database)
        space = grid.trials[0].problem.space
        tasks = labelled_tasks(database, space, split=meta_validation.split)
        embed = features_of(database, meta_validation.images, meta_validation.max_images_per_class)
        unseen, more = unseen_rows(grid.methods, tasks, space, embed)
        calibrated += more
    return replace(
        result,
        ranks=ranks,
        unseen=unseen,
        calibration=calibrated,
        generated=generated_rows(scored, grid.trials),
        provenance=provenance_rows(learned, grid.trials),
        audits=audits(settings.defaults.database_of(""), learned, grid.trials, Kept(settings.kept)),
    )


def _calibrated(methods: Sequence[LearnedMethod], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return the calibration on oracles, whose labels are of another recipe: the mean error is removed."""
    rows: list[dict[str, Any]] = []
    for problem, judge in trials:
        for method in methods:
            found = calibration_rows([method.uncertain(problem, judge.archs, 0)], [judge.truth], centred=True)
            rows += [{"method": method.label, "on": judge.name, **row} for row in found]
    return rows
