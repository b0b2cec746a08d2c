"""What a refused command leaves behind: nothing, whichever job it is for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from metad2a.errors import OutputError
from metad2a.fitting.loop import Fit
from metad2a.tracking.read import read_run

Run = Callable[..., Any]
CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
TINY = (
    "recipe.epochs=1",
    "recipe.batch_size=8",
    "recipe.images_per_epoch=8",
    "recipe.resolution=8",
    "recipe.scale.channels=2",
    "device=cpu",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("fit-network", "rubbish", "NPZ", "json=out/a.json"),
        ("fit-network", "rubbish", "NPZ", "-m", "seed=0,1"),
        ("fit-network", CELL, "nowhere"),
        ("fit-network", CELL, "NPZ", "recipe.scale={depth:3}"),
        ("search", "nowhere", "--json", "out/a.json", "--html", "b/c/d.html", "--export", "networks"),
        ("train", "predictor", "database=nowhere", "runs=my/runs"),
        ("train", "surrogate", "embedder=nothing"),
        ("train", "supernet", "dataset=nowhere"),
        ("compare", "datasets=[nowhere]", "oracles=[a.csv:b]", "methods=[random]", "json=out/a.json"),
        ("evaluate", "dataset=NPZ", "oracle=a.csv", "oracle_column=b", "json=out/a.json"),
        ("build-database", "space=nothing", "out=db"),
        ("build-database", "label_source=images", "label_source.images.images=nowhere", "out=db"),
        ("inspect", "nowhere", "--json", "out/a.json"),
        ("report", "nowhere", "--html", "out/a.html"),
    ],
)
def test_nothing_is_left(run: Run, tmp_path: Path, npz: Path, arguments: tuple[str, ...]) -> None:
    run(*(word.replace("NPZ", str(npz)) for word in arguments)).refused()
    assert not list(tmp_path.iterdir())


def test_what_was_there_stays(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = tmp_path / "runs/fit-network/mine"
    mine.mkdir(parents=True)
    run("fit-network", "rubbish", "nowhere").refused()
    assert [path.relative_to(tmp_path) for path in tmp_path.rglob("*")] == [
        Path(name) for name in ("runs", "runs/fit-network", "runs/fit-network/mine")
    ]
    monkeypatch.setenv("METAD2A_RUN_ID", "mine")  # the folder of another run, say, that has just begun
    run("fit-network", "rubbish", "nowhere").refused()
    assert mine.is_dir()
    (tmp_path / "thesis.tex").write_text("precious")
    run("fit-network", "rubbish", "nowhere", "hydra.run.dir=.").refused()
    assert (tmp_path / "thesis.tex").read_text() == "precious"


def test_of_a_sweep_the_jobs_before_stay(run: Run, tmp_path: Path, npz: Path) -> None:
    run("fit-network", CELL, npz, *TINY, "-m", "valid_fraction=0.2,0.9")
    [folder] = (tmp_path / "runs/fit-network").iterdir()
    assert {path.name for path in folder.iterdir()} == {"0", "multirun.yaml"}
    assert (folder / "0/result.json").is_file()


def test_what_fails_after_its_first_result_stays(
    run: Run, tmp_path: Path, npz: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Fit._finish_epoch

    def full_disk(self: Fit) -> None:
        finish(self)
        if self.state.epoch == 2:
            raise OutputError("cannot write: the disk is full.")

    monkeypatch.setattr(Fit, "_finish_epoch", full_disk)
    run("fit-network", CELL, npz, *TINY, "recipe.epochs=3").refused("the disk is full")
    [folder] = (tmp_path / "runs/fit-network").iterdir()
    assert read_run(folder)["status"] == "failed"
