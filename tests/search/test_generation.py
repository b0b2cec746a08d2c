import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from metad2a.data.features import FeatureSet
from metad2a.errors import CheckpointError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.runtime import torch_rng
from metad2a.search import generation
from metad2a.search.constraints import Costs, Limits
from metad2a.search.generation import Generation, draw_sets, generate
from metad2a.spaces.nasbench201 import NASBench201

NUM_CLASSES = 5  # of the fixture `features`


@pytest.fixture
def model(make_checkpoint: Callable[..., Checkpoint]) -> Generator:
    generator: Generator = make_checkpoint().build("generator")
    return generator


@pytest.fixture
def collapsed(model: Generator) -> Generator:
    """A generator that says the same cell whatever the data set: one operation with probability almost 1."""
    last = model.decoder.type_net[-1]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.copy_(torch.tensor([0.0, 0.0, 0.0, 0.0, 0.0, 25.0, 0.0]))
    return model


def run(
    model: Generator,
    features: FeatureSet,
    *,
    n: int,
    limits: Limits | None = None,
    seed: int = 0,
    steer: bool = True,
) -> Generation:
    return generate(
        model,
        NASBench201(),
        features,
        n=n,
        images_per_class=4,
        limits=limits or Limits(),
        generator=torch_rng(seed, "generate"),
        steer=steer,
    )


@pytest.mark.parametrize("n", [1, 60, 600])
def test_finds_as_many_distinct_architectures_as_asked_for(
    model: Generator, features: FeatureSet, space: NASBench201, n: int
) -> None:
    made = run(model, features, n=n)
    assert len(made.archs) == len(set(made.archs)) == n
    assert [space.parse(space.format(arch)) for arch in made.archs] == made.archs
    assert made.sampled >= made.valid >= n
    assert made.valid == made.sampled, "decoding within the rules makes only architectures"


def test_keeps_to_the_limits(model: Generator, features: FeatureSet, space: NASBench201) -> None:
    everything = list(space.enumerate())
    limits = Limits(
        max_params=float(np.quantile(space.params(everything, NUM_CLASSES), 0.5)),
        max_flops=float(np.quantile(space.flops(everything, NUM_CLASSES, space.resolution), 0.3)),
    )
    made = run(model, features, n=50, limits=limits)
    assert len(set(made.archs)) == 50
    assert limits.admits(Costs(space, NUM_CLASSES), made.archs).all()


def test_the_same_stream_gives_the_same_list(model: Generator, features: FeatureSet) -> None:
    one, same, other = (run(model, features, n=100, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one.archs != other.archs


def test_a_longer_list_begins_with_the_shorter_one(model: Generator, features: FeatureSet) -> None:
    assert run(model, features, n=80).archs[:20] == run(model, features, n=20).archs


def test_a_collapsed_generator_fills_the_list_all_the_same(
    collapsed: Generator, features: FeatureSet, space: NASBench201
) -> None:
    graphs = collapsed.sample(torch.zeros(64, 8), rules=space, generator=torch_rng(0))
    assert len(set(space.decode(graphs))) == 1, "the test's generator is not collapsed"
    made = run(collapsed, features, n=200)
    assert len(set(made.archs)) == 200
    assert made.archs[0] == space.decode(graphs)[0]


def test_a_limit_that_leaves_seven_architectures_ends(
    model: Generator,
    features: FeatureSet,
    space: NASBench201,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seven = space.sample(7, np.random.default_rng(0))
    costs = dict.fromkeys(seven, 1)
    # No limit on the true costs of these cells leaves so few.
    monkeypatch.setattr(
        NASBench201, "params", lambda self, archs, num_classes: np.array([costs.get(arch, 9) for arch in archs])
    )
    monkeypatch.setattr(generation, "_MOST_DRAWS", 60 * 512)
    with caplog.at_level(logging.WARNING):
        made = run(model, features, n=50, limits=Limits(max_params=2))
    assert set(made.archs) <= set(seven)
    assert 3 <= len(made.archs) == len(set(made.archs))
    assert made.sampled == 60 * 512
    assert f"found {len(made.archs)} of 50 architectures (limits: max_params=2)" in caplog.text


@pytest.mark.parametrize("name", ["params", "flops", "memory_mb"])
def test_tight_limits_steer_the_decoder(
    model: Generator, features: FeatureSet, space: NASBench201, name: str
) -> None:
    everything, costs = list(space.enumerate()), Costs(space, NUM_CLASSES)
    limit = float(np.quantile(costs.of(name, everything), 0.02))
    limits = Limits(**{f"max_{name}": limit})
    within = {arch for arch, ok in zip(everything, limits.admits(costs, everything), strict=True) if ok}
    n = len(within) // 2
    steered = run(model, features, n=n, limits=limits)
    rejected = run(model, features, n=n, limits=limits, steer=False)
    assert len(steered.archs) == len(rejected.archs) == n
    assert set(steered.archs) <= within
    assert steered.sampled <= rejected.sampled / 2


def test_a_loose_limit_changes_nothing(model: Generator, features: FeatureSet) -> None:
    assert run(model, features, n=100, limits=Limits(max_params=1e9)) == run(model, features, n=100)


@pytest.mark.parametrize("listable", [True, False])
def test_what_hardly_anything_meets_is_found_all_the_same(
    model: Generator, features: FeatureSet, space: NASBench201, listable: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    costs, limits = Costs(space, NUM_CLASSES), Limits(max_params=74_000, max_memory_mb=0.68)
    everything = list(space.enumerate())
    within = {arch for arch, ok in zip(everything, limits.admits(costs, everything), strict=True) if ok}
    assert 5 < len(within) < 50
    monkeypatch.setattr(NASBench201, "listable", listable)
    made = run(model, features, n=200, limits=limits)
    assert set(made.archs) == within
    assert len(made.archs) == len(within)
    assert made.valid >= len(within)
    assert made.sampled < 20_000, "drawing is given up in time"


def test_nothing_is_drawn_when_the_whole_space_was_seen(model: Generator, features: FeatureSet) -> None:
    class FewCells(NASBench201):
        size = 40

    made = generate(
        model, FewCells(), features, n=10_000, images_per_class=4, limits=Limits(), generator=torch_rng(0)
    )
    assert made.sampled == 512, "one round shows more than 40"
    assert len(made.archs) >= 40


# --- decoding freely ------------------------------------------------------------------------------------------


@pytest.fixture
def free() -> Generator:
    """An untrained generator that decides edges itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Generator(feature_dim=6, num_types=7, num_nodes=8, hidden=12, latent=8).eval()


def test_free_decoding_throws_away_what_the_official_rules_refuse(free: Generator, features: FeatureSet) -> None:
    space = NASBench201()
    made = generate(
        free,
        space,
        features,
        n=30,
        images_per_class=4,
        limits=Limits(),
        generator=torch_rng(0),
        constrained=False,
    )
    assert len(set(made.archs)) == 30
    rng = torch_rng(0)
    found = []
    for _ in range(made.sampled // 100):
        latents = torch.cat([free.encode(sets)[0] for sets in draw_sets(features, 100, 4, rng)])
        graphs = free.sample(latents, generator=rng)
        for i, arch in enumerate(space.decode(graphs)):
            entered, left = graphs.edges[i].any(0)[1:].all(), graphs.edges[i].any(1)[:-1].all()
            if arch is not None and entered and left:
                found.append(arch)
    assert made.valid == len(found) < made.sampled
    assert made.archs == list(dict.fromkeys(found))[:30]


def test_a_generator_with_given_edges_cannot_decode_freely(model: Generator, features: FeatureSet) -> None:
    with pytest.raises(CheckpointError, match=r"cannot decode unconstrained.*model\.constrained=false"):
        generate(
            model,
            NASBench201(),
            features,
            n=1,
            images_per_class=4,
            limits=Limits(),
            generator=torch_rng(0),
            constrained=False,
        )


# --- drawing the data set -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_sets", "images_per_class"), [(1, 4), (32, 4), (7, 100)])
def test_every_draw_is_the_whole_data_set(features: FeatureSet, num_sets: int, images_per_class: int) -> None:
    batches = list(draw_sets(features, num_sets, images_per_class, torch_rng(0)))
    assert sum(map(len, batches)) == num_sets
    counts = features.counts.clamp_max(images_per_class)
    for batch in batches:
        assert batch.mask.sum(-1).tolist() == counts.expand(len(batch), -1).tolist()


def test_large_data_sets_are_drawn_in_bounded_memory() -> None:
    classes, images, width = 200, 2, 8000
    large = FeatureSet(
        torch.randn(classes * images, width, generator=torch_rng(0)),
        np.repeat(np.arange(classes), images),
        [str(i) for i in range(classes)],
        embedder="test",
        name="large",
    )
    batches = [batch.features.shape for batch in draw_sets(large, 12, 50, torch_rng(0))]
    assert [shape[0] for shape in batches] == [5, 5, 2]
    assert max(shape.numel() for shape in batches) <= 16_000_000
