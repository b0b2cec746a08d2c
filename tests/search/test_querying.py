import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from metad2a.models.arch_features import ArchFeatures
from metad2a.models.surrogate import LinearPosterior
from metad2a.runtime import torch_rng
from metad2a.search.base import Searcher
from metad2a.search.growing_process import GrowingProcess
from metad2a.search.querying import SurrogateSearcher
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.searchers import SearcherContract


def world(space: NASBench201, *, count: int = 120) -> tuple[list[Architecture], torch.Tensor, LinearPosterior]:
    """Return architectures, their features, and a belief in some random weights."""
    archs = list(dict.fromkeys(space.sample(count, np.random.default_rng(5))))
    features = torch.from_numpy(ArchFeatures(space).matrix(archs))
    size = features.shape[1]
    mean = 0.1 * torch.randn(size, generator=torch_rng("belief"), dtype=torch.float64)
    return archs, features, LinearPosterior(mean, 0.03 * torch.eye(size, dtype=torch.float64), 0.3)


def searcher(space: NASBench201) -> SurrogateSearcher:
    return SurrogateSearcher(space, *world(space), spread=5.0)


class TestSurrogateSearcher(SearcherContract):
    @pytest.fixture
    def space(self) -> NASBench201:
        return NASBench201()

    @pytest.fixture
    def make(self, space: NASBench201) -> Callable[[int], Searcher]:
        return lambda seed: searcher(space)  # it draws nothing at random


def test_the_first_is_the_one_believed_best(space: NASBench201) -> None:
    made = searcher(space)
    archs, features, belief = world(space)
    assert made.ask(1) == [archs[int(belief.predict(features)[0].argmax())]]
    assert made.best is None
    assert math.isinf(made.promise())


def test_it_learns_what_is_good_here(space: NASBench201) -> None:
    """The truth is as far from what it believes as it thinks possible, on a scale that it is not told."""
    made = searcher(space)
    archs, features, belief = world(space)
    drawn = torch.randn(len(belief.mean), generator=torch_rng("truth"), dtype=torch.float64)
    weights = belief.mean + 0.03**0.5 * drawn
    truth = dict(zip(archs, (93.0 + 0.4 * features.double() @ weights).tolist(), strict=True))
    for _ in range(15):
        asked = made.ask(2)
        made.tell(asked, [truth[arch] for arch in asked])
    assert made.best is not None
    ranks = sorted(truth, key=truth.__getitem__, reverse=True)
    assert ranks.index(made.best) < 3
    assert made._learned()[1] < 2.5  # percent a score, where the usual spread is five


def test_the_promise_falls(space: NASBench201) -> None:
    made = searcher(space)
    archs, features, belief = world(space)
    mean, _ = belief.predict(features)
    truth = {arch: 60.0 + 5.0 * float(score) for arch, score in zip(archs, mean, strict=True)}
    promises = []
    for _ in range(15):
        asked = made.ask(1)
        made.tell(asked, [truth[arch] for arch in asked])
        promises.append(made.promise())
    assert 0 <= promises[-1] < promises[0]
    made.ask(1000)
    assert made.promise() == 0.0


def test_a_growing_process_believes_what_one_that_sees_all_at_once_does(space: NASBench201) -> None:
    _, features, belief = world(space)
    process = GrowingProcess(features, belief)
    for places in ([3], [3, 50, 7], [*range(60, 100)], [60, 61, 5]):  # longer, much longer, and another beginning
        values = torch.randn(len(places), generator=torch_rng("values", len(places)), dtype=torch.float64)
        process.observe(places)
        expected = belief.observe(features[places], values)
        mean, _ = expected.predict(features)
        error = process.whitened(values) - process.whitened(process.start[places])
        torch.testing.assert_close(process.mean(error), mean)
        _, deviation = expected.predict(features - features[9])
        torch.testing.assert_close(process.deviation_from(9), deviation, atol=1e-6, rtol=1e-6)


def test_what_failed_is_nobodys_rival(space: NASBench201) -> None:
    made = searcher(space)
    [failed] = made.ask(1)
    made.tell([failed], [math.nan])
    archs, features, belief = world(space)
    order = belief.predict(features)[0].argsort(descending=True).tolist()
    assert made.ask(1) == [archs[order[1]]], "nothing is known yet, so the mean decides"
