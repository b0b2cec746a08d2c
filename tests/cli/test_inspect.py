"""metad2a inspect."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metad2a.runtime import numpy_rng

Run = Callable[..., Any]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Two classes of ten images of 20 x 24 pixels; one of them is in both."""
    for label in ("[cat]", "dog"):
        (tmp_path / "pets" / label).mkdir(parents=True)
        for number in range(10):
            pixels = numpy_rng("inspect", label if number else "", number).integers(0, 256, (24, 20, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / label / f"{number}.png")
    return tmp_path / "pets"


def test_what_is_printed_and_written(run: Run, tmp_path: Path, images: Path) -> None:
    (images / "dog" / "cut.jpg").write_text("no picture")
    outcome = run("inspect", "pets", "--json", "out/pets.json").done()
    for words in (
        "pets: 2 classes, 21 images",
        "images of a class: 10 to 10, median 10",
        "[cat] 10, dog 10",
        "sizes: all 20 x 24 pixels",
        "modes: RGB 20",
        "formats: PNG 20",
        "images that are in several classes",
        "files that cannot be read",
        "wrote out/pets.json",
    ):
        assert words in outcome.out
    written = json.loads((tmp_path / "out/pets.json").read_text())
    found = {finding["kind"]: finding for finding in written["findings"]}
    assert {kind: finding["count"] for kind, finding in found.items()} == {"across": 1, "unreadable": 1}
    assert found["unreadable"]["examples"] == [f"{images}/dog/cut.jpg: is no image"]


def test_a_data_set_that_cannot_be_used(run: Run, tmp_path: Path, images: Path) -> None:
    (images / "emu").mkdir()
    (images / "dog" / "notes.txt").write_text("x")
    outcome = run("inspect", "pets", "--json", "pets.json")
    assert outcome.code == 1
    assert outcome.err == (
        "error: pets cannot be used as it is: class folders without an image (1); files in class folders that are "
        "no images (1). The table says what to do.\n"
    )
    assert json.loads((tmp_path / "pets.json").read_text())["usable"] is False


def test_nothing_to_look_at(run: Run, images: Path) -> None:
    Image.fromarray(np.full((24, 20, 3), 7, np.uint8)).save(images / "dog" / "0.png")
    assert "nothing that needs to be looked at" in run("inspect", "pets").done().out


def test_many_classes_are_summed_up(run: Run) -> None:
    classes = "abcdefghijklmnopqrstuvwxyz"
    out = run("inspect", f"embedded:glyphs?images_per_class=10&classes={classes}").done().out
    assert "largest: a 10, b 10" in out
    assert "smallest: q 10" in out
    assert "k 10" not in out


def test_mistakes(run: Run, tmp_path: Path, images: Path) -> None:
    run("inspect", "nowhere").refused("images 'nowhere' do not exist", "Give a folder", "torchvision:NAME, hf:NAME")
    run("inspect", "pets", "--json", images).refused("it is a folder")
    (tmp_path / "f.safetensors").write_bytes(b"x")
    run("inspect", "f.safetensors").refused("holds features, not images")
    assert run("inspect").code == 2
