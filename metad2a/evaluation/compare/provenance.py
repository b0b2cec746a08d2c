"""What was trained on what, and selected on what: beside every accuracy, what may have leaked into it."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from metad2a.database.audit.report import audit
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError
from metad2a.evaluation.compare.asked_judge import AskedJudge
from metad2a.evaluation.compare.grid import Trial
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.kept import Kept
from metad2a.evaluation.compare.learned_method import LearnedMethod, digest
from metad2a.oracles.table import TableOracle
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import SearchSpace

_TOP = 10  # percent
_ASKED = 100  # cells that an oracle is asked for
_SAYS = ("database", "records", "epoch", "seed", "run_id", "note")


def provenance_rows(methods: Sequence[LearnedMethod], trials: Sequence[Trial]) -> list[dict[str, Any]]:
    """Return a row for each model of each checkpoint.

    ``trained_on`` (a database, as its checkpoint names it), ``records``, ``epoch``, ``selected_on``, ``seed``,
    ``run_id``, ``note``, ``weights`` (a digest); None where the checkpoint does not say. ``cells``: distinct ones
    that it has seen; ``top10``: for each oracle how many percent of them are of its best 10 %; ``shared_classes``:
    for each the classes of its data set that are called like classes of meta-training, None where it is unknown.
    """
    rows = []
    for method in methods:
        checkpoint = method.checkpoint
        for part in sorted(checkpoint.parts):
            said = checkpoint.provenance.get(part, {})
            scored = any(name.startswith("val/") for name in checkpoint.metrics.get(part, {}))
            facts = {name: said.get(name) for name in _SAYS}
            rows.append(
                {
                    "method": method.label,
                    "model": part,
                    "trained_on": facts.pop("database"),
                    "selected_on": "meta-validation of the same database" if scored else None,
                    **facts,
                    "weights": digest(checkpoint),
                    "cells": len(checkpoint.train_archs),
                    "top10": {
                        judge.name: _share(checkpoint.train_archs, judge, trial)
                        for trial, judge in ((t.problem.space, t.judge) for t in trials)
                    },
                    "shared_classes": {t.judge.name: _shared(method, t) for t in trials},
                }
            )
    return rows


def _share(texts: Sequence[str], judge: Judge | AskedJudge, space: SearchSpace) -> float | None:
    """Return how many percent of some cells are among the best tenth of an oracle.

    Of an oracle that must be asked: of some of them, and the best tenth of its sample.
    """
    if isinstance(judge, AskedJudge):
        drawn = numpy_rng("cells of meta-training").permutation(len(texts))[:_ASKED]
        archs = [space.parse(texts[place]) for place in drawn]
        if not archs:
            return None
        return 100 * float((judge.accuracies(archs) >= np.quantile(judge.truth, 1 - _TOP / 100)).mean())
    places = [judge.place[arch] for arch in map(space.parse, texts) if arch in judge.place]
    if not places:
        return None
    best = np.zeros(len(judge.truth), bool)
    best[np.argsort(-judge.truth, kind="stable")[: math.ceil(len(best) * _TOP / 100)]] = True
    return 100 * float(best[places].mean())


def _shared(method: LearnedMethod, trial: Trial) -> int | None:
    reference = method.checkpoint.reference
    if reference is None or not reference.classes:
        return None
    seen = {name.rpartition("/")[2] for name in reference.classes}
    return sum(name in seen for name in trial.problem.data.classes)


def audits(
    named: str | None, methods: Sequence[LearnedMethod], trials: Sequence[Trial], kept: Kept
) -> list[dict[str, Any]]:
    """Return the audit of each database against each oracle: of that which is named, and of the checkpoints' own.

    What checkpoints were trained on is audited where a database of that name is at hand. Oracles that are no tables
    are left out: an audit looks every label up. An audit is kept.

    Raises:
        DatabaseError: what is named is none.
    """
    listed = [(trial, trial.judge) for trial in trials if isinstance(trial.judge, Judge)]
    spaces = {trial.problem.space.name for trial, _ in listed}
    own = [
        str(said["database"]) for m in methods for said in m.checkpoint.provenance.values() if "database" in said
    ]
    found = []
    for name in dict.fromkeys(own if named is None else [named, *own]):
        try:
            database = MetaDatabase.load(name)
        except DatabaseError:
            if name == named:
                raise
            continue
        if database.space in spaces:
            for trial, judge in listed:
                depends = {
                    "what": "audit",
                    "database": database.manifest["files"],
                    "judge": judge.fingerprint(),
                    "named": [name, judge.name],
                }
                found.append(kept.once(depends, partial(_audit, database, judge, trial.problem.space)))
    return found


def _audit(database: MetaDatabase, judge: Judge, space: SearchSpace) -> dict[str, Any]:
    accuracy = dict(zip(judge.archs, judge.truth.tolist(), strict=True))
    return audit(database, TableOracle(accuracy, space, name=judge.name)).to_dict()
