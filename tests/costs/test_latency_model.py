from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from metad2a.costs.latency_model import GraphFeatures, LatencyModel, choose_architectures
from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.errors import ArchitectureError, ConfigError, DataError
from metad2a.runtime import numpy_rng
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

SPACES = [NASBench201(), MobileNetV3()]


@pytest.mark.parametrize("space", SPACES)
def test_learns_sums_over_operations_from_twenty(space: SearchSpace) -> None:
    unseen = space.sample(300, numpy_rng("unseen"))

    def truth(archs: list) -> np.ndarray:
        counts = (space.encode(archs).types.numpy()[:, :, None] == np.arange(space.num_types)).sum(1)
        return 2 + counts @ np.linspace(0.1, 1.0, space.num_types) + space.flops(archs, 10, 32) / 1e8

    chosen = choose_architectures(space)
    assert len(set(chosen)) == 20
    model = LatencyModel.fit(space, chosen, truth(chosen))
    assert spearmanr(model.predict(unseen), truth(unseen)).statistic > (0.97 if space.num_types < 10 else 0.7)
    assert 0 < model.error_ms < truth(unseen).std()
    assert model.predict([]).shape == (0,)


def test_the_seed_decides_what_is_measured(space: NASBench201) -> None:
    assert choose_architectures(space) == choose_architectures(space)
    assert set(choose_architectures(space)) != set(choose_architectures(space, seed=1))
    assert choose_architectures(space, n=4) == choose_architectures(space)[:4]


def test_the_choice_says_more_than_a_random_one(space: NASBench201) -> None:
    features = GraphFeatures(space)
    chosen, random = features(choose_architectures(space)), features(space.sample(20, numpy_rng("random")))

    def information(table: np.ndarray) -> float:
        return float(np.linalg.slogdet(np.eye(20) + table @ table.T)[1])

    assert information(chosen) > information(random) + 1


@pytest.mark.parametrize(
    ("device", "least"), [("1080ti_1", 0.96), ("eyeriss", 0.98), ("pixel3", 0.87), ("silver_4210r", 0.97)]
)
def test_ranks_published_latencies(space: NASBench201, shared_data: Path, device: str, least: float) -> None:
    archs = [space.parse(text) for text in benchmark_order()]
    with np.load(shared_data / "nasbench201/latency_ms.npz", allow_pickle=False) as tables:
        truth = dict(zip(archs, tables[device].tolist(), strict=True))
    chosen = choose_architectures(space, seed=7)
    model = LatencyModel.fit(space, chosen, [truth[arch] for arch in chosen])
    unseen = [arch for arch in archs[::5] if arch not in chosen]
    assert spearmanr(model.predict(unseen), [truth[arch] for arch in unseen]).statistic > least


def test_nothing_takes_no_time(space: NASBench201) -> None:
    archs = list(space.enumerate())
    chosen = choose_architectures(space)
    times = np.maximum(space.flops(chosen, 10, 32) / 1e6 - 60, 0.1)
    assert LatencyModel.fit(space, chosen, times).predict(archs).min() == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("count", "times", "message"),
    [
        (2, [1.0, 2.0], "at least 3 architectures and a time for each; given are 2 and 2"),
        (4, [1.0, 2.0, 3.0], "given are 4 and 3"),
        (3, [1.0, 2.0, 0.0], "positive milliseconds"),
        (3, [1.0, 2.0, float("nan")], "positive milliseconds"),
    ],
)
def test_measurements_that_cannot_be_used(space: NASBench201, count: int, times: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        LatencyModel.fit(space, choose_architectures(space, n=count), times)


def test_equal_latencies_are_no_trouble(space: NASBench201) -> None:
    chosen = choose_architectures(space, n=5)
    np.testing.assert_allclose(LatencyModel.fit(space, chosen, [3.0] * 5).predict(chosen), 3.0)


CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|{}~2|"


def test_a_table_of_another_device(space: NASBench201, tmp_path: Path) -> None:
    path = tmp_path / "phone.csv"
    texts = [CELL.format(name) for name in ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3")]
    path.write_text("ms,note,arch\n" + "".join(f"{1.5 + i},x,{text}\n" for i, text in enumerate(texts)))
    model = LatencyModel.read(path, space)
    assert model.archs == tuple(space.parse(text) for text in texts)
    assert model.milliseconds == (1.5, 2.5, 3.5, 4.5)


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (None, DataError, "cannot read .*phone.csv.*columns 'arch' and 'ms'"),
        ("", DataError, "has the columns none"),
        ("arch,latency\n", DataError, "has the columns arch, latency; it must have 'arch' and 'ms'"),
        (f"arch,ms\n{CELL.format('none')},1\n{CELL.format('none')},fast\n", DataError, "line 3: ms is 'fast'"),
        ("arch,ms\nnonsense,1\n", ArchitectureError, "'nonsense' is no architecture"),
        ("arch,ms\n", ConfigError, "given are 0 and 0"),
    ],
)
def test_tables_that_cannot_be_used(
    space: NASBench201, tmp_path: Path, content: str | None, error: type[Exception], message: str
) -> None:
    path = tmp_path / "phone.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(error, match=message):
        LatencyModel.read(path, space)
