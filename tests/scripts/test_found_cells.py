"""The study of found and random cells, on few images and for one epoch."""

import json
import runpy
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.data.glyphs import glyphs
from metad2a.errors import DataError
from metad2a.fitting.recipes import get_recipe
from metad2a.spaces.nasbench201 import NASBench201

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "reproduce" / "found_cells.py"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    return runpy.run_path(str(SCRIPT))


def test_the_study_from_end_to_end(run_script: Callable[..., Any], tmp_path: Path) -> None:
    images = glyphs(["A", "g", "8"], images_per_class=12)
    np.savez(tmp_path / "small.npz", x=images.load(range(len(images)), 24), y=images.labels)
    options = [
        *("letters=small.npz", "--recipe", "demo", "--epochs", 1, "--seeds", 1, "--out", "out/study"),
        *("--candidates", 5, "--images-per-class", 2, "--classes", 2, "--random", 1),
    ]
    study = partial(run_script, "reproduce/found_cells")
    out = study(*options).done().out
    rows = [json.loads(line) for line in (tmp_path / "out/study.jsonl").read_text().splitlines()]
    assert [row["cell"] for row in rows] == ["first-ranked", "random 1"]
    assert abs(rows[1]["params"] / rows[0]["params"] - 1) <= 0.2
    assert rows[0]["arch"] != rows[1]["arch"]
    assert all(row["classes"] == 2 and sum(row["images"]) == 24 for row in rows)
    assert (tmp_path / "out/study.md").read_text() in out
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    study(*options).done()  # everything is kept
    assert [json.loads(line) for line in (tmp_path / "out/study.jsonl").read_text().splitlines()] == rows
    study("nowhere/").refused("nowhere")


def test_cells_of_like_size(script: dict[str, Any]) -> None:
    space = NASBench201()
    first = space.parse("|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
    size = space.params([first], 10)[0]
    found = script["like"](space, first, 5, 10, 0)
    assert len({space.canonical(arch) for arch in [first, *found]}) == 6
    assert (abs(space.params(found, 10) / size - 1) <= 0.2).all()
    assert found == script["like"](space, first, 5, 10, 0) != script["like"](space, first, 5, 10, 1)
    biggest = space.parse(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|"
    )
    with pytest.raises(DataError, match=r"only \d+ other cells"):
        script["like"](space, biggest, 10_000, 10, 0)


def test_the_table_says_what_the_rows_say(script: dict[str, Any]) -> None:
    def row(cell: str, seed: int, test: float, predicted: float) -> dict[str, Any]:
        fixed = {"dataset": "d", "images": [7, 1, 2], "params": 1_000_000}
        return {**fixed, "cell": cell, "seed": seed, "test": test, "predicted": predicted}

    rows = [
        *(row("first-ranked", seed, test, 90.0) for seed, test in enumerate([80.0, 82.0])),
        *(row("random 1", seed, test, 70.0) for seed, test in enumerate([90.0, 94.0])),
        *(row("random 2", seed, test, 60.0) for seed, test in enumerate([60.0, 62.0])),
    ]
    line = script["table_of"](rows).splitlines()[-1]
    cells = [text.strip() for text in line.strip("|").split("|")]
    assert cells[:6] == ["d", "7 / 1 / 2", "81.00 ± 1.41", "76.50 ± 21.92", "61.00 to 92.00", "2 of 3"]
    assert cells[6] == "0.50"


def test_the_published_rows_are_whole(script: dict[str, Any]) -> None:
    """Every cell of every data set was trained with every seed, in the recipe that ships; the page says so."""
    docs = SCRIPT.parents[2] / "docs"
    rows = [json.loads(line) for line in (docs / "benchmarks/found_cells.jsonl").read_text().splitlines()]
    assert {row["recipe"] for row in rows} == {get_recipe("short").fingerprint}
    assert len({(row["dataset"], row["cell"]) for row in rows}) == 24
    assert len({(row["dataset"], row["cell"], row["seed"]) for row in rows}) == len(rows) == 72
    section = (docs / "results.md").read_text().partition("## Found cells")[2].partition("\n## ")[0]
    published = [line.split("|") for line in section.splitlines() if " of 6 |" in line]
    for ours, theirs in zip(published, script["table_of"](rows).splitlines()[2:], strict=True):
        expected = theirs.replace(" 0.", " .").replace("-0.", "-.").split("|")
        assert [text.strip() for text in ours[3:8]] == [text.strip() for text in expected[3:8]]
        assert ours[2].replace(",", "") == expected[2]
