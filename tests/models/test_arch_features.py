from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.models import arch_features
from metad2a.models.arch_features import PAIR_WEIGHT, SCORE_WEIGHT, ArchFeatures, class_means, normal_ranks
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201


def test_decisions_and_pairs_of_them(space: NASBench201, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(arch_features, "scores_file", lambda name: tmp_path / "none")
    archs = space.sample(7, np.random.default_rng(0))
    matrix = ArchFeatures(space).matrix(archs)
    assert matrix.shape == (7, 30 + 15 * 25 + 1)
    assert (matrix[:, :30].sum(1) == 6).all()
    assert (matrix[:, 30:-1].sum(1) == PAIR_WEIGHT * 15).all()
    a, b = archs[:2]
    equal = sum(x == y for x, y in zip(a.choices, b.choices, strict=True))
    assert matrix[0, :30] @ matrix[1, :30] == equal
    assert matrix[0, 30:-1] @ matrix[1, 30:-1] == pytest.approx(PAIR_WEIGHT**2 * equal * (equal - 1) / 2)


def test_a_space_that_cannot_be_listed() -> None:
    space = MobileNetV3()
    archs = space.sample(3, np.random.default_rng(0))
    matrix = ArchFeatures(space).matrix(archs)
    assert matrix.shape == (3, sum(space.options) + 1)  # its pairs would be thousands
    depths = [sum(len(stage) for stage in space.layers(arch)) for arch in archs]
    assert matrix[:, :-1].sum(1).tolist() == [5 + 2 * depth for depth in depths]


def test_equal_networks_have_equal_features() -> None:
    space = MobileNetV3()
    arch, other = (space.parse("+".join([f"d2:k3e4-k5e6-~k7e3-~k3e{last}"] * 5)) for last in (3, 6))
    matrix = ArchFeatures(space).matrix([arch, other])
    assert (matrix[0] == matrix[1]).all()


@pytest.fixture
def table(space: NASBench201, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    archs = list(space.enumerate())
    classes = np.unique([space.canonical(arch) for arch in archs], return_inverse=True)[1]
    path = tmp_path / "scores.parquet"
    rows = {"arch": [space.format(arch) for arch in archs], "isomorphic": classes, "score": classes % 11 / 7}
    pd.DataFrame(rows).to_parquet(path)
    monkeypatch.setattr(arch_features, "scores_file", lambda name: path)
    return path


def test_isomorphic_architectures_are_alike_and_scores_count(space: NASBench201, table: Path) -> None:
    same = [space.parse(text) for text in pd.read_parquet(table).groupby("isomorphic")["arch"].get_group(5)]
    assert len(same) > 1
    other = space.sample(1, np.random.default_rng(1))
    matrix = ArchFeatures(space).matrix([*same, *other])
    assert np.ptp(matrix[: len(same)], axis=0).max() == 0
    assert (matrix[0] != matrix[-1]).any()
    everywhere = ArchFeatures(space).matrix(list(space.enumerate()))[:, -1]
    assert everywhere.std() == pytest.approx(SCORE_WEIGHT, rel=0.1)


def test_a_table_of_another_space(space: NASBench201, table: Path) -> None:
    pd.read_parquet(table)[:100].to_parquet(table)
    with pytest.raises(ConfigError, match="has 100 rows, but 'nasbench201' 15,625"):
        ArchFeatures(space).matrix(space.sample(1, np.random.default_rng(0)))


def test_means_and_ranks() -> None:
    features = np.array([[1.0], [2.0], [5.0], [4.0]], np.float32)
    assert class_means(features, np.array([7, 3, 7, 3])).ravel().tolist() == [3, 3, 3, 3]
    ranks = normal_ranks(np.array([10.0, 30.0, 20.0, 20.0]))
    assert ranks[0] < ranks[2] == ranks[3] < ranks[1]
    assert ranks[0] == pytest.approx(-ranks[1])


def test_parts_can_be_left_out(space: NASBench201, table: Path) -> None:
    archs = space.sample(5, np.random.default_rng(0))
    whole = ArchFeatures(space).matrix(archs)
    assert (ArchFeatures(space, without=["scores"]).matrix(archs) == whole[:, :-1]).all()
    without_pairs = ArchFeatures(space, without=["pairs"]).matrix(archs)
    assert (without_pairs == np.delete(whole, range(30, whole.shape[1] - 2), axis=1)).all()
    own = ArchFeatures(space, without=["means"]).matrix(archs)
    assert (own[:, -1] == whole[:, -1]).all()
    assert set(np.unique(own[:, :30])) == {0, 1}
    assert (own != whole).any()
    with pytest.raises(UnknownNameError, match="Did you mean 'pairs'"):
        ArchFeatures(space, without=["pair"])
