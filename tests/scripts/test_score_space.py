import itertools
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metad2a.errors import ConfigError, UnknownNameError
from metad2a.models.arch_features import scores_file
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "score_space.py"))


class Few(NASBench201):
    """The first cells of the space, small ones and isomorphic ones among them."""

    def enumerate(self) -> Iterator[Architecture]:
        return itertools.islice(super().enumerate(), 0, 600, 30)


def test_every_architecture_has_a_score_and_isomorphic_ones_the_same() -> None:
    table = SCRIPT["score_space"](Few(), ["synflow"], seed=0)
    archs = list(Few().enumerate())
    assert table["arch"].tolist() == [Few().format(arch) for arch in archs]
    assert table["isomorphic"].nunique() == len({Few().canonical(arch) for arch in archs}) < len(archs)
    assert (table.groupby("isomorphic")["synflow"].nunique() == 1).all()
    assert table["synflow"].nunique() > 1


def test_the_command_writes_the_table(
    run_script: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For a few cells, the first of their classes, it is what is shipped for them."""
    shipped = pd.read_parquet(scores_file("nasbench201")).drop_duplicates("isomorphic").iloc[100:6000:1500]
    some = [NASBench201().parse(text) for text in shipped["arch"]]
    monkeypatch.setattr(NASBench201, "enumerate", lambda _: iter(some))
    done = run_script("score_space", "nasbench201", "out/scores.parquet", "logsynflow", "synflow").done()
    assert done.out == "wrote out/scores.parquet: 4 architectures, logsynflow, synflow\n"
    table = pd.read_parquet(tmp_path / "out/scores.parquet")
    assert list(table) == list(shipped)
    assert table["arch"].tolist() == shipped["arch"].tolist()
    for name in ("logsynflow", "synflow"):
        assert table[name].to_numpy() == pytest.approx(shipped[name].to_numpy(), rel=1e-3)
    assert "is no score of a network" in run_script("score_space", "nasbench201", "no.parquet", "params").err


def test_a_score_of_tiny_networks_says_what_it_is_of() -> None:
    table = SCRIPT["score_space"](Few(), ["linear_regions"], seed=0)
    assert table["linear_regions"].max() > 16, "of 3,000 images in networks of one channel, not of two"


def test_what_is_no_score_of_a_network() -> None:
    with pytest.raises(ConfigError, match="'params' is no score of a network"):
        SCRIPT["score_space"](Few(), ["params"], seed=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'synflow'"):
        SCRIPT["score_space"](Few(), ["synflw"], seed=0)
