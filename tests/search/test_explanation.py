"""What a search says of its own result."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm, spearmanr

from metad2a.data.features import FeatureSet
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference
from metad2a.runtime import torch_rng
from metad2a.search.advice import advise, advise_knowing
from metad2a.search.best_known import BestKnown
from metad2a.search.differences import differences, diverse
from metad2a.search.explanation import explain
from metad2a.search.likeness import Likeness, likeness
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.search.sureness import Sureness, sureness
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

SCORES = {"val/mae": 3.0, "val/spearman": 0.7, "val/spearman_advantage": 0.4, "val/pair_error": 4.0}


@pytest.fixture
def features() -> FeatureSet:
    rows = torch.rand(4 + 7 + 1, 6, generator=torch_rng("features"))
    return FeatureSet(
        rows, np.repeat([0, 1, 2], [4, 7, 1]), ["ant", "bee", "cat"], embedder="test features", name="zoo"
    )


@pytest.fixture
def model(make_checkpoint: Callable[..., Checkpoint], make_reference: Callable[..., Reference]) -> MetaD2A:
    return MetaD2A(
        make_checkpoint(reference=make_reference(), metrics={"predictor": SCORES}), name="mine", device="cpu"
    )


@pytest.fixture
def result(model: MetaD2A, features: FeatureSet) -> SearchResult:
    return model.search(features, n_candidates=40)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(1 - (a @ b) / (a.norm() * b.norm()))


def test_each_class_has_its_nearest(features: FeatureSet, make_reference: Callable[..., Reference]) -> None:
    reference = make_reference(loneliness=torch.linspace(0, 1, 101) ** torch.tensor([[1.0], [2.0]]))
    near = likeness(features, reference)
    one, five = features.blocks()[2][0], features.blocks()[1][[0, 1, 2, 4, 5]].mean(0)
    for name, mean, power in (("cat", one, 1.0), ("bee", five, 0.5), ("ant", features.blocks()[0][0], 1.0)):
        found = next(near_class for near_class in near.classes if near_class.name == name)
        to_all = [cosine(mean, other.float()) for other in reference.means]
        assert found.nearest == reference.classes[int(np.argmin(to_all))]
        assert found.distance == pytest.approx(min(to_all), abs=1e-5)
        assert found.percentile == pytest.approx(100 * min(to_all) ** power, abs=0.5)
    assert [c.distance for c in near.classes] == sorted((c.distance for c in near.classes), reverse=True)
    assert near.percentile == pytest.approx(np.median([c.percentile for c in near.classes]))
    assert (near.known_classes, near.known_tasks, near.images_compared) == (12, 4, 1)
    assert near.uncertain


def test_the_nearest_task_is_that_whose_classes_are(make_reference: Callable[..., Reference]) -> None:
    reference = make_reference()
    rows = reference.means[[7, 6]].float() * 3  # the classes of the third task, which has two
    same = FeatureSet(rows, np.array([0, 1]), ["a", "b"], embedder="test features", name="same")
    near = likeness(same, reference)
    first = near.tasks[0]
    assert first.distance == pytest.approx(0, abs=1e-5)
    assert set(first.classes) == {"class 6", "class 7"}
    assert (first.accuracy, first.best, first.best_accuracy) == (80.0, reference.archs[1], 85.0)
    assert [t.distance for t in near.tasks] == sorted(t.distance for t in near.tasks)
    assert near.level == "near"
    assert [c.nearest for c in near.classes] != []
    secret = make_reference(accuracy=torch.full((4,), torch.nan), best=torch.full((4,), -1), archs=())
    assert likeness(same, secret).tasks[0] == replace(first, accuracy=None, best=None, best_accuracy=None)


@pytest.mark.parametrize(("usual", "level"), [(1.0, "near"), (0.0, "far"), (None, "unknown")])
def test_the_level_depends_on_what_is_usual(
    features: FeatureSet, make_reference: Callable[..., Reference], usual: float | None, level: str
) -> None:
    known = {"sizes": (1,), "loneliness": torch.linspace(0.9, 1, 101)[None] * usual} if usual is not None else {}
    none = {"sizes": (), "loneliness": torch.empty(0, 101)}
    assert likeness(features, make_reference(**(known or none))).level == level


def test_nothing_is_said_where_nothing_was_noted(features: FeatureSet) -> None:
    assert likeness(features, None) == Likeness("unknown")


def test_many_classes_are_no_burden(make_reference: Callable[..., Reference]) -> None:
    rows = torch.rand(3000, 6, generator=torch_rng("many"))
    many = FeatureSet(rows, np.arange(3000), [str(n) for n in range(3000)], embedder="test features", name="many")
    near = likeness(many, make_reference())
    assert len(near.classes) == 3000
    assert len(near.tasks) == 3


def test_the_odds_are_those_of_the_predictors_record(model: MetaD2A, result: SearchResult) -> None:
    sure = sureness(model.checkpoint, result)
    predicted = [candidate.predicted for candidate in result.candidates]
    said = norm.cdf((predicted[0] - np.array(predicted)) / 4.0)
    assert set(sure.odds) == {rank for rank in (2, 5, 10) if said[rank - 1] <= 0.8}
    assert sure.odds
    for rank, chance in sure.odds.items():
        assert chance == pytest.approx(norm.cdf((predicted[0] - predicted[rank - 1]) / 4.0))
    assert sure.tied == sum(predicted[0] - other < 4.0 * norm.ppf(0.6) for other in predicted)
    assert sure.pair_error_measured
    draws = np.array([candidate.draws for candidate in result.candidates])
    pairs = [spearmanr(draws[:, a], draws[:, b]).statistic for a, b in combinations(range(10), 2)]
    assert sure.agreement == pytest.approx(np.mean(pairs))
    ranks = (draws > draws[0]).sum(0) + 1
    assert sure.first_stays == (ranks <= 10).mean()
    assert sure.first_spread == pytest.approx(draws[0].std(ddof=1))


def test_without_a_record_of_differences_they_are_deduced(model: MetaD2A, result: SearchResult) -> None:
    scores = {name: value for name, value in SCORES.items() if name != "val/pair_error"}
    sure = sureness(replace(model.checkpoint, metrics={"predictor": scores}), result)
    errors = np.random.default_rng(0).normal(scale=3.0 / np.sqrt(2 / np.pi), size=(2, 200_000))
    assert abs(errors[0]).mean() == pytest.approx(3.0, rel=0.01)
    assert sure.pair_error == pytest.approx((errors[0] - errors[1]).std(), rel=0.01)
    assert not sure.pair_error_measured


def test_an_old_checkpoint_knows_nothing(model: MetaD2A, features: FeatureSet, result: SearchResult) -> None:
    model.checkpoint = replace(model.checkpoint, reference=None, metrics={}, target=None)
    bare = replace(result, candidates=tuple(replace(c, draws=()) for c in result.candidates))
    explanation = explain(model, features, bare)
    sure = explanation.sureness
    assert (sure.tied, sure.odds, sure.agreement, sure.error, sure.draws) == (None, {}, None, None, 0)
    assert explanation.sentences()[0].startswith("predicted %: on the scale of the checkpoint's labels, not")
    assert "nobody knows" in explanation.sentences()[1]
    assert explanation.warnings == ()
    json.dumps(explanation.to_dict(), allow_nan=False)


def test_motifs_are_what_the_first_have_and_the_others_have_not(result: SearchResult, space: NASBench201) -> None:
    # The first half has a 3x3 convolution on the first edge, the second half has none there.
    cells = space.sample(400, np.random.default_rng(0))
    marked = [c for c in cells if c.choices[0] == 3][:20] + [c for c in cells if c.choices[0] != 3][:60]
    texts = [space.format(cell) for cell in marked]
    made = tuple(
        replace(result.best, rank=rank, arch=text, predicted=90.0 - rank) for rank, text in enumerate(texts, 1)
    )
    differ = differences(space, replace(result, candidates=made), tied=5)
    name = space.decision_name(0, 3)
    assert name == "nor_conv_3x3 from 0 to 1"
    assert differ.motifs[0].name == name
    assert (differ.motifs[0].top, differ.motifs[0].all) == (1.0, 0.25)
    assert name in differ.shared
    choices = np.array([cell.choices for cell in marked[:20]])
    apart = [(choices[a] != choices[b]).sum() for a, b in combinations(range(20), 2)]
    assert differ.apart == pytest.approx(np.mean(apart))
    assert differ.picks[0] == 1
    assert max(differ.picks) <= 5


def test_what_no_network_uses_is_no_likeness(result: SearchResult) -> None:
    space = MobileNetV3()
    archs = space.sample(60, np.random.default_rng(0))
    # The first ones have two layers in the first stage, and the same in the place of a third, which does not count.
    alike = [replace(arch, choices=(0, *arch.choices[1:5], 2, 2, 2, 2, *arch.choices[9:])) for arch in archs[:20]]
    made = tuple(
        replace(result.best, rank=rank, arch=space.format(arch), predicted=90.0 - rank, space=space)
        for rank, arch in enumerate([*alike, *archs[20:]], 1)
    )
    differ = differences(space, replace(result, candidates=made), tied=5)
    assert "stage 1: depth 2" in differ.shared
    assert not any("stage 1, layer 3" in name for name in (*differ.shared, *(one.name for one in differ.motifs)))


def test_picks_are_unlike_each_other() -> None:
    table = np.array([[0, 0, 0], [0, 0, 1], [1, 1, 1], [0, 1, 1], [1, 0, 0]])
    assert diverse(table, 2) == (1, 3)
    assert diverse(table, 3) == (1, 2, 3)
    assert diverse(table[:1], 4) == (1,)
    assert diverse(np.array([[0, 0], [0, 0]]), 4) == (1,)


def test_decisions_have_names_in_every_space() -> None:
    space = MobileNetV3()
    arch = space.sample(1, np.random.default_rng(0))[0]
    names = [space.decision_name(position, choice) for position, choice in enumerate(arch.choices)]
    assert len(set(names)) == len(names) == 45
    text = space.format(arch)
    assert names[0] == f"stage 1: depth {text[1]}"
    assert names[1].startswith("stage 1, layer 1: kernel ")
    assert names[10].startswith("stage 2, layer 1: kernel ")
    assert names[44].startswith("stage 5, layer 4: expansion ")


SURE = Sureness(10, 0.9, 1.0, 0.1, 0.7, 0.4, 3.0, 4.0, True, {2: 0.51}, 5, 70.0, 5.0)


@pytest.mark.parametrize(
    ("level", "fewest", "commands"),
    [
        ("near", 20, ["search", "fit-network"]),
        ("far", 20, ["search", "build-database", "fit-network"]),
        ("near", 3, ["inspect", "search", "fit-network"]),
    ],
)
def test_the_advice_fits_the_case(result: SearchResult, level: Any, fewest: int, commands: list[str]) -> None:
    result = replace(result, dataset=result.dataset | {"classes": 10})
    equal = tuple(replace(candidate, params=1000) for candidate in result.candidates)
    result = replace(result, candidates=equal)
    found = advise(Likeness(level), SURE, result, fewest=fewest, wanted=5, images="my images")
    typed = [shlex.split(one.command) for one in found]
    assert [words[1] for words in typed] == commands
    assert all(words[0] == "metad2a" for words in typed)
    assert all("my images" in words or "label_source.mine.images=my images" in words for words in typed)
    smaller = tuple(replace(c, params=500 if c.rank == 4 else 1000) for c in equal)
    found = advise(Likeness(level), SURE, replace(result, candidates=smaller), fewest=9, wanted=5, images="x")
    assert "metad2a search x --max-params 500" in [one.command for one in found]


class Own(NASBench201):
    """A plug-in's."""

    name = "own"


def test_the_advice_is_about_the_same_space_and_scale(result: SearchResult) -> None:
    told = {"fewest": 9, "wanted": 5, "images": "x"}

    def commands(**fields: Any) -> list[str]:
        other = replace(result, candidates=tuple(replace(one, **fields) for one in result.candidates))
        found = advise(Likeness("near"), SURE, other, **told, again="--checkpoint 'my own'")
        return [one.command for one in found]

    assert all("--checkpoint 'my own'" in one for one in commands() if " search " in one)
    assert commands()[-1].endswith(" x space=nasbench201"), "what a command means otherwise, a machine may set"
    assert commands(scale={"channels": 8, "cells": 1})[-1].endswith(
        " x space=nasbench201 '~recipe.scale' '+recipe.scale={channels:8,cells:1}'"
    )
    other = commands(space=MobileNetV3())
    assert other[-1].endswith(" x space=mobilenetv3 recipe=finetune_short")
    assert any(one.endswith("--recipe finetune_short") for one in other)
    named = commands(space=Own())
    assert named[-1].endswith(" x space=own"), "it has cells and channels, whatever it is called"
    assert not any("recipe" in one for one in (*commands(), *named)), "the usual one has sizes of this space"


def test_the_whole_explanation(
    model: MetaD2A,
    features: FeatureSet,
    result: SearchResult,
    make_reference: Callable[..., Reference],
) -> None:
    alone = make_reference(loneliness=torch.linspace(0, 1e-4, 101).expand(2, 101))
    model.checkpoint = replace(model.checkpoint, reference=alone)
    explanation = explain(model, features, result, images="zoo/")
    plain = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert set(plain) == {"likeness", "sureness", "differences", "advice", "sentences"}
    assert plain["likeness"]["level"] == explanation.likeness.level == "far"
    assert plain["sureness"]["odds"]["10"] == explanation.sureness.odds[10]
    assert plain["sentences"] == explanation.sentences()
    assert explanation.warnings
    assert explanation.warnings[0].startswith("Careful: the data set is far")
    assert "on data sets like those of meta-training" in " ".join(explanation.about_sureness())
    assert 3 <= len(explanation.sentences()) <= 10
    assert explanation.sentences() == [*explanation.findings(), *explanation.next_steps()]
    assert [line.startswith("Next: ") for line in explanation.next_steps()] == [True, True]
    assert not any("Next: " in line for line in explanation.findings())


def test_who_knows_the_best_is_told_to_train_it_first(result: SearchResult) -> None:
    found = advise(Likeness("far"), SURE, result, fewest=3, wanted=5, images="x")
    known = advise_knowing(BestKnown(4, 91.0, "--queries"), found, result, images="x")
    assert known[0].text == "Train rank 4, the best that --queries found, to its end."
    assert shlex.split(known[0].command)[:3] == ["metad2a", "fit-network", result.candidates[3].arch]
    assert set(known[1:]) < set(found)
    assert not any("--then-train" in one.command or "fit-network" in one.command for one in known[1:])


def test_the_shipped_checkpoint_knows_what_it_has_seen() -> None:
    reference = MetaD2A.from_pretrained().checkpoint.reference
    assert reference is not None
    assert len(reference.tasks) > 50
    assert {"goldfish", "mnist/3"} <= set(reference.classes)


def test_that_of_others_labels_knows_the_classes() -> None:
    reference = MetaD2A.from_pretrained("nasbench201-metad2a").checkpoint.reference
    assert reference is not None
    assert reference.means.shape == (600, 1280)
    assert len(reference.tasks) == 0  # they are others' to publish
    assert reference.sizes == (1, 2, 5)
    assert "tench" in reference.classes
    assert reference.archs == ()  # others' labels are not handed on
    assert reference.accuracy.isnan().all()
