from pathlib import Path

import numpy as np
import pytest

from metad2a.errors import ConfigError, DataError, UnknownNameError
from metad2a.evaluation.compare.judge import Judge, Noise
from metad2a.evaluation.compare.problem import Problem
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "a:b.csv"
    lines = ["arch,true,short 1,short 2,hours"]
    for number, arch in enumerate(SPACE.enumerate()):
        value = number / 15_625 * 100
        lines.append(f"{SPACE.format(arch)},{value},{value / 2},{value / 4},{number}")
    path.write_text("\n".join(lines))
    return path


def test_what_a_search_is_told(table: Path) -> None:
    judge = Judge.from_file(
        f"{table}:true", SPACE, noise=Noise(columns=("short 1", "short 2")), seconds_column="hours"
    )
    assert judge.name == "a:b.csv:true"
    np.testing.assert_allclose(judge.signal(0), judge.truth / 2)
    np.testing.assert_allclose(judge.signal(1), judge.truth / 4)
    np.testing.assert_allclose(judge.signal(2), judge.signal(0))
    assert judge.seconds is not None
    assert judge.seconds[7] == 7
    assert judge.best == judge.truth.max()


def test_normal_errors_belong_to_a_seed_and_an_architecture(judge: Judge) -> None:
    noisy = Judge("noisy", judge.archs, judge.truth, noise=Noise(sd=2.0))
    error = noisy.signal(3) - noisy.truth
    assert error.std() == pytest.approx(2.0, rel=0.05)
    assert abs(error.mean()) < 0.1
    np.testing.assert_array_equal(noisy.signal(3), noisy.signal(3))
    assert not np.allclose(noisy.signal(3), noisy.signal(4))
    assert judge.signal(3) is judge.truth


def test_fingerprints_tell_tables_and_data_apart(judge: Judge, problem: Problem) -> None:
    noisy = Judge("noisy", judge.archs, judge.truth, noise=Noise(sd=2.0))
    other = Judge("made up", judge.archs, judge.truth + 1)
    named = Judge("called otherwise", judge.archs, judge.truth)
    assert len({judge.fingerprint(), noisy.fingerprint(), other.fingerprint()}) == 3
    assert named.fingerprint() == judge.fingerprint()
    more = Problem(problem.space, problem.data, images_per_class=7)
    assert more.fingerprint() != problem.fingerprint()


def test_what_cannot_be_used(table: Path, judge: Judge, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="names no column"):
        Judge.from_file("table", SPACE)
    with pytest.raises(UnknownNameError, match="unknown column"):
        Judge.from_file(f"{table}:tru", SPACE)
    with pytest.raises(UnknownNameError, match="Did you mean 'hours'"):
        Judge.from_file(f"{table}:true", SPACE, seconds_column="hour")
    with pytest.raises(DataError, match="data row 102: no percentages"):
        Judge.from_file(f"{table}:true", SPACE, noise=Noise(columns=("hours",)))
    part = tmp_path / "part.csv"
    part.write_text("\n".join(table.read_text().splitlines()[:11]))
    with pytest.raises(DataError, match="lists 10 of 15625"):
        Judge.from_file(f"{part}:true", SPACE)
    with pytest.raises(ConfigError, match="not both"):
        Noise(columns=("a",), sd=1.0)
    with pytest.raises(ConfigError, match="at least 0"):
        Noise(sd=-1.0)
    small = Judge("small", judge.archs[:3], judge.truth[:3])
    with pytest.raises(DataError, match="the oracle small does not list"):
        small.rows(judge.archs[:4])
