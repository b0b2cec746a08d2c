"""Methods that say which recipe is predicted for, and what the generator is told."""

from collections.abc import Callable
from pathlib import Path
from unittest import mock

import pytest
import torch

from metad2a.errors import ConfigError, MetaD2AError, UnknownNameError
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.meta_method import MetaMethod
from metad2a.evaluation.compare.problem import Problem
from metad2a.evaluation.compare.specs import open_methods
from metad2a.evaluation.compare.started_method import LIMITS, StartedMethod
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor

RECIPES = {"first": (70.0, 5.0), "second": (40.0, 10.0)}


@pytest.fixture(scope="module")
def told(make_checkpoint: Callable[..., Checkpoint], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write an untrained checkpoint that knows two recipes and can be told of accuracy and cost."""
    plain = make_checkpoint()
    size = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 12, "latent": 8}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        generator = Generator(
            **size, topology=plain.topology, conditions={"accuracy": (0.0, 1.0, 2.0), "flops": (17.0, 1.0, 19.0)}
        )
        predictor = Predictor(**size, recipes=RECIPES, recipe="first")
    parts = {"generator": Part.of(generator), "predictor": Part.of(predictor)}
    path = tmp_path_factory.mktemp("told") / "told.safetensors"
    make_checkpoint(parts=parts).save(path)
    return path


def opened(*texts: str) -> list[MetaMethod]:
    methods = open_methods(texts, Defaults(candidates=10, device="cpu"))
    assert all(isinstance(method, MetaMethod) for method in methods)
    return methods  # type: ignore[return-value]


def test_they_predict_and_aim_as_told(told: Path, problem: Problem) -> None:
    plain, second, aimed, warm = opened(
        f"plain=metad2a:{told}",
        f"second=metad2a:{told}?label_recipe=second",
        f"aimed=metad2a:{told}?want_accuracy=0.1&want_flops=3e7",
        f"warm=searcher:evolution?first=metad2a:{told}&order=limits&samples=2&label_recipe=second&want_accuracy=0.1",
    )
    assert [one.model.checkpoint.parts["predictor"].config["recipe"] for one in (plain, second, aimed, warm)] == [
        *("first", "second", "first", "second"),
    ]
    assert (plain.want, aimed.want) == ({}, {"accuracy": 0.1, "flops": 3e7})
    assert isinstance(warm, StartedMethod)
    assert warm.want == {"accuracy": 0.1}
    assert len({repr(one.identity()) for one in (plain, second, aimed, warm)}) == 4
    for one, searches in ((aimed, 1), (warm, LIMITS)):
        with mock.patch.object(one.model, "search", side_effect=one.model.search) as search:
            one.searcher(problem, 0)
        assert [call.kwargs["want"] for call in search.call_args_list] == [one.want] * searches
    assert not torch.equal(plain.latents(problem, 0, 2), aimed.latents(problem, 0, 2))


def test_mistakes(told: Path, make_checkpoint: Callable[..., Checkpoint], tmp_path: Path) -> None:
    make_checkpoint().save(tmp_path / "plain.safetensors")
    cases: list[tuple[str, type[MetaD2AError], str]] = [
        (f"metad2a:{told}?label_recipe=secnd", UnknownNameError, "Did you mean 'second'"),
        (f"metad2a:{told}?label_recipe=1", ConfigError, "label_recipe=1 cannot be used; its default is none"),
        (f"metad2a:{told}?want_accuracy=much", ConfigError, "want_accuracy=much cannot be used"),
        (f"metad2a:{told}?want_accuracy=2", ConfigError, "give a share"),
        (f"metad2a:{told}?want_params=9", UnknownNameError, "params"),
        (f"metad2a:{told}?want_acuracy=1", UnknownNameError, "Did you mean 'want_accuracy'"),
        (f"metad2a:{tmp_path}/plain.safetensors?want_flops=9", ConfigError, "not trained to be told"),
        (f"metad2a:{tmp_path}/plain.safetensors?label_recipe=a", MetaD2AError, "labels of one recipe"),
    ]
    for text, error, words in cases:
        with pytest.raises(error, match=words):
            opened(text)
