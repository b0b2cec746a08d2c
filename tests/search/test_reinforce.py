import math

import numpy as np
import pytest
import torch

from metad2a.errors import ConfigError
from metad2a.search.reinforce import Reinforce
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.nasbench201 import NASBench201


def value(arch: Architecture) -> float:
    return 50 + 5 * float(sum(choice == 3 for choice in arch.choices))


def test_it_learns_as_torch_does(space: NASBench201) -> None:
    """The same steps by autograd and torch's Adam, from the recipe in words."""
    searcher = Reinforce(space, seed=2, learning_rate=0.05)
    logits = torch.tensor(searcher.state_dict()["own"]["logits"], dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.05)
    mean = 0.0
    told = searcher.ask(30)
    for step, arch in enumerate(told, start=1):
        searcher.tell([arch], [value(arch)])
        mean = 0.9 * mean + 0.1 * value(arch)
        chosen = logits.log_softmax(1)[torch.arange(6), torch.tensor(arch.choices)]
        adam.zero_grad()
        (-chosen.sum() * (value(arch) - mean / (1 - 0.9**step))).backward()
        adam.step()
    np.testing.assert_allclose(searcher.state_dict()["own"]["logits"], logits.detach().numpy(), atol=1e-6)


def test_the_policy_goes_where_values_are_high(space: NASBench201) -> None:
    searcher = Reinforce(space, learning_rate=0.1)
    for _ in range(120):
        [arch] = searcher.ask(1)
        searcher.tell([arch], [value(arch)])
    state = searcher.state_dict()
    assert [int(np.argmax(row)) for row in state["own"]["logits"]] == [3] * 6
    assert state["own"]["baseline"] > 70
    assert searcher.proposals > 120, "repeats count"


def test_a_failed_evaluation_teaches_nothing(space: NASBench201) -> None:
    searcher = Reinforce(space)
    before = searcher.state_dict()["own"]
    searcher.tell(searcher.ask(3), [math.nan] * 3)
    assert searcher.state_dict()["own"] == before


class Uneven(NASBench201):
    options = (5, 2, 1, 3, 4, 5)


def test_decisions_may_have_different_numbers_of_choices() -> None:
    space = Uneven()
    seen = np.array([arch.choices for arch in Reinforce(space).ask(400)])
    assert (seen.max(0) == np.array(space.options) - 1).all()


def test_what_it_cannot_do_is_told(space: NASBench201) -> None:
    class Other(SearchSpace):
        name = "other"

    with pytest.raises(ConfigError, match="independent decisions, and 'other' is none"):
        Reinforce.__init__(Reinforce.__new__(Reinforce), Other.__new__(_concrete(Other)))
    with pytest.raises(ConfigError, match="momentum=1"):
        Reinforce(space, momentum=1.0)
    with pytest.raises(ConfigError, match="learning_rate=0"):
        Reinforce(space, learning_rate=0.0)


def _concrete(space: type[SearchSpace]) -> type[SearchSpace]:
    """Return a class that has no abstract methods left, for an object that is looked at only by its type."""
    return type("Concrete", (space,), dict.fromkeys(space.__abstractmethods__))
