import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from metad2a.models.arch_features import ArchFeatures
from metad2a.models.surrogate import LinearPosterior
from metad2a.runtime import torch_rng
from metad2a.search.base import Searcher
from metad2a.search.querying import SurrogateSearcher
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.testing.searchers import SearcherContract


def searcher(space: NASBench201, *, count: int = 120) -> SurrogateSearcher:
    """Return one that believes, at first, in some random weights."""
    archs = list(dict.fromkeys(space.sample(count, np.random.default_rng(5))))
    features = torch.from_numpy(ArchFeatures(space).matrix(archs))
    size = features.shape[1]
    mean = 0.1 * torch.randn(size, generator=torch_rng("belief"), dtype=torch.float64)
    belief = LinearPosterior(mean, 0.03 * torch.eye(size, dtype=torch.float64), 0.3)
    return SurrogateSearcher(space, archs, features, belief, spread=5.0)


class TestSurrogateSearcher(SearcherContract):
    @pytest.fixture
    def space(self) -> NASBench201:
        return NASBench201()

    @pytest.fixture
    def make(self, space: NASBench201) -> Callable[[int], Searcher]:
        return lambda seed: searcher(space)  # it draws nothing at random


def test_the_first_is_the_one_believed_best(space: NASBench201) -> None:
    made = searcher(space)
    mean, _ = made._prior.predict(made._features)
    assert made.ask(1) == [made._archs[int(mean.argmax())]]
    assert made.best is None
    assert math.isinf(made.promise())


def test_it_learns_what_is_good_here(space: NASBench201) -> None:
    """The truth is as far from what it believes as it thinks possible, on a scale that it is not told."""
    made = searcher(space)
    weights = made._prior.mean + 0.03**0.5 * torch.randn(
        len(made._prior.mean), generator=torch_rng("truth"), dtype=torch.float64
    )
    truth = dict(zip(made._archs, (93.0 + 0.4 * made._features @ weights).tolist(), strict=True))
    for _ in range(15):
        asked = made.ask(2)
        made.tell(asked, [truth[arch] for arch in asked])
    assert made.best is not None
    ranks = sorted(truth, key=truth.__getitem__, reverse=True)
    assert ranks.index(made.best) < 3
    assert made._unit() < 2.5  # percent a score, where the usual spread is five


def test_the_promise_falls(space: NASBench201) -> None:
    made = searcher(space)
    mean, _ = made._prior.predict(made._features)
    truth = {arch: 60.0 + 5.0 * float(score) for arch, score in zip(made._archs, mean, strict=True)}
    promises = []
    for _ in range(15):
        asked = made.ask(1)
        made.tell(asked, [truth[arch] for arch in asked])
        promises.append(made.promise())
    assert 0 <= promises[-1] < promises[0]
    made.ask(1000)
    assert made.promise() == 0.0
