"""Ranks within tasks, pairs of records."""

import logging
from collections.abc import Callable
from dataclasses import replace
from math import log, log1p

import numpy as np
import pytest
import torch
from torch.nn.functional import softplus

from metad2a.errors import DatabaseError
from metad2a.training.meta_data import MetaData
from metad2a.training.within_tasks import pairwise_loss, spread_within, within_tasks

MakeData = Callable[..., MetaData]


def test_ranks_are_those_within_the_task(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=6, difficulty=3.0, noise=1.0)
    found = within_tasks(data, data.train_rows)
    assert torch.equal(found.rows, data.train_rows)
    for task in data.task_of[found.rows].unique():
        rows = found.rows[data.task_of[found.rows] == task]
        assert torch.equal(found.rank[rows].argsort(), data.accuracy[rows].argsort())
        assert float(found.rank[rows].mean()) == pytest.approx(0, abs=1e-6)
    assert bool((found.rank[data.valid_rows] == 0).all())
    assert float(data.accuracy.min()) < found.level < float(data.accuracy.max())
    assert 0 < found.spread < 20


def test_small_tasks_are_left_out_and_that_is_said(make_data: MakeData, caplog: pytest.LogCaptureFixture) -> None:
    data = make_data(tasks=8, per_task=6)
    rows = data.train_rows[3:]  # the first task of meta-training keeps three records
    with caplog.at_level(logging.INFO):
        found = within_tasks(data, rows)
    assert torch.equal(found.rows, data.train_rows[6:])
    assert "1 of 6 tasks (3 of 33 records) have too few architectures" in caplog.text
    with pytest.raises(DatabaseError, match="no task of the database has 4 architectures"):
        within_tasks(data, rows[:3])


def test_repeats_of_a_pair_have_one_rank(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=6)
    rows = data.train_rows
    arch_of, accuracy = data.arch_of.clone(), data.accuracy.clone()
    arch_of[rows[1]] = arch_of[rows[0]]
    accuracy[rows[0]], accuracy[rows[1]] = 99.0, 1.0
    rank = within_tasks(replace(data, arch_of=arch_of, accuracy=accuracy), rows).rank
    assert rank[rows[0]] == rank[rows[1]]


def test_the_label_may_be_the_curve(make_data: MakeData) -> None:
    data = make_data(tasks=8, per_task=6)
    losses = data.accuracy[:, None].expand(-1, 2).clone()  # the better, the greater the losses
    by_curve = within_tasks(replace(data, losses=losses), data.train_rows, label="curve")
    by_accuracy = within_tasks(data, data.train_rows)
    assert np.corrcoef(by_curve.rank, by_accuracy.rank)[0, 1] < -0.5


def test_pairs_by_hand() -> None:
    scores = torch.tensor([1.0, 0.0, 5.0, 2.0])
    truth = torch.tensor([2.0, 1.0, 0.0, 0.0])
    task = torch.tensor([0, 0, 1, 0])
    right, wrong, worse = log1p(np.exp(-1)), softplus(torch.tensor(1.0)).item(), softplus(torch.tensor(2.0)).item()
    # Records 0, 1 and 3 are of one task: 0 beats 1 as it should, 3 is put before both. Record 2 is alone.
    by_hand = (right + wrong) / 2 + (right + worse) / 2 + (wrong + worse) / 2
    assert float(pairwise_loss(scores, truth, task)) == pytest.approx(by_hand, rel=1e-6)
    assert float(pairwise_loss(torch.zeros(4), truth, task)) == pytest.approx(3 * log(2), rel=1e-6)


def test_pairs_are_those_of_one_task_that_differ() -> None:
    scores = torch.randn(6, requires_grad=True)
    truth, task = torch.tensor([1.0, 1.0, 3.0, 4.0, 0.0, 0.0]), torch.tensor([0, 0, 1, 2, 3, 3])
    loss = pairwise_loss(scores, truth, task)
    loss.backward()
    assert loss.item() == 0.0
    assert torch.equal(scores.grad, torch.zeros(6))
    level = torch.tensor([0.0, 0.0, 0.0, 7.0, 7.0, 7.0])  # what all records of a task have in common is not learned
    truth, task = torch.arange(6.0), torch.tensor([0, 0, 0, 1, 1, 1])
    torch.testing.assert_close(pairwise_loss(scores + level, truth, task), pairwise_loss(scores, truth, task))


def test_spread_within_tasks() -> None:
    assert spread_within(np.array([1.0, 3.0, 11.0, 13.0]), np.array([7, 7, 9, 9])) == 1.0
