"""metad2a train and metad2a resume."""

import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from metad2a.cli.configuration import launch, run_dir
from metad2a.models.checkpoint import Checkpoint
from metad2a.tracking.read import read_metrics, read_run

Run = Callable[..., Any]
LONG = ("schedule.epochs=30", "schedule.validate_every=10")


def train_arguments(kind: str, database: Path, *more: str) -> Sequence[str]:
    """Return a training of a moment on a small database."""
    return ["train", kind, f"database={database}", "debug=limit", "device=cpu", *more]


def only_run(folder: Path) -> Path:
    [path] = (folder / "runs" / "train").iterdir()
    return path


def test_a_run_leaves_everything_behind(trained: dict[str, Path]) -> None:
    for kind, folder in trained.items():
        for name in (
            ".hydra/config.yaml",
            ".hydra/overrides.yaml",
            "config.json",
            "run.json",
            "metrics.jsonl",
            "checkpoints/best.safetensors",
            "checkpoints/last.pt",
        ):
            assert (folder / name).is_file(), name
        run = read_run(folder)
        assert (run["status"], run["job"], run["run_id"]) == ("done", f"train-{kind}", folder.name)
        assert read_metrics(folder)["epoch"].tolist() == [1, 2]
        state = torch.load(folder / "checkpoints/last.pt", weights_only=True)
        assert set(state) >= {"state", "model", "optimizer", "scheduler"}


def test_a_sweep_gives_one_run_each_and_a_summary(run: Run, tmp_path: Path, database: Path) -> None:
    outcome = run(*train_arguments("generator", database, "-m", "seed=0,1,2")).done()
    sweep = only_run(tmp_path)
    folders = [sweep / str(number) for number in range(3)]
    assert [read_run(folder)["seed"] for folder in folders] == [0, 1, 2]
    assert [read_run(folder)["run_id"] for folder in folders] == [f"{sweep.name}-{number}" for number in range(3)]
    assert "scores of the kept epoch" in outcome.out
    assert all(f"{sweep.name}-{number}" in outcome.out for number in range(3))
    weights = [load_file(folder / "checkpoints/best.safetensors") for folder in folders]
    name = next(iter(weights[0]))
    assert not torch.equal(weights[0][name], weights[1][name])


def test_two_runs_in_one_process_do_not_meet(run: Run, tmp_path: Path, database: Path) -> None:
    for _ in range(2):
        run(*train_arguments("generator", database)).done()
    first, second = (tmp_path / "runs" / "train").iterdir()
    assert same_result(first, second)


def test_launching_leaves_the_process_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # Hydra's go to files of this test
    before = sys.argv, dict(os.environ)
    folders: list[Path] = []
    for _ in range(2):
        launch("evaluate", ["seeds=1"], lambda cfg: folders.append(run_dir()))
        assert (sys.argv, dict(os.environ)) == before
    assert len(set(folders)) == 2


def test_the_run_id_can_be_given(run: Run, tmp_path: Path, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_RUN_ID", "mine")
    run(*train_arguments("generator", database)).done()
    assert read_run(tmp_path / "runs/train/mine")["run_id"] == "mine"
    run(*train_arguments("generator", database)).refused("mine", "already holds a run")
    assert os.environ["METAD2A_RUN_ID"] == "mine"


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, invoke: Run, database: Path) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    invoke(folder, *train_arguments("predictor", database, *LONG)).done()
    return only_run(folder)


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_equals_uninterrupted(
    tmp_path: Path, invoke: Run, database: Path, uninterrupted: Path, kill: signal.Signals
) -> None:
    process = start(tmp_path, train_arguments("predictor", database, *LONG))
    while process.poll() is None and not list(tmp_path.glob("runs/train/*/checkpoints/last.pt")):
        time.sleep(0.002)
    process.send_signal(kill)
    _, err = process.communicate(timeout=120)
    folder = only_run(tmp_path)
    epochs = torch.load(folder / "checkpoints/last.pt", weights_only=True)["state"]["epoch"]
    assert 0 < epochs < 30, "the run was not caught in the middle; make it longer"
    if kill == signal.SIGINT:
        assert process.returncode == 130, err
        assert read_run(folder)["status"] == "interrupted"
        assert f"metad2a resume {folder}" in err
        assert "Traceback" not in err
    else:
        assert read_run(folder)["status"] == "running"
    invoke(tmp_path, "resume", folder).done()
    assert read_run(folder)["status"] == "done"
    assert len(read_run(folder)["resumed"]) == 1
    assert same_result(folder, uninterrupted)


def start(folder: Path, arguments: Sequence[str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "metad2a.cli.main", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("precision", ["bf16-mixed", "16-mixed", "64-true"])
@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_every_precision_trains(precision: str, kind: str, run: Run, tmp_path: Path, database: Path) -> None:
    run(*train_arguments(kind, database, f"precision={precision}")).done()
    assert read_metrics(only_run(tmp_path))["train/loss"].notna().all()


# --- several processes ----------------------------------------------------------------------------------------


def like(a: Path, b: Path) -> bool:
    """Return whether two runs learned the same, but for the last digits."""
    weights = [load_file(path / "checkpoints/best.safetensors") for path in (a, b)]
    for tensors in weights:
        for name in [name for name in tensors if name.endswith("key.bias")]:
            del tensors[
                name
            ]  # attention does not depend on it: Adam takes steps along the rounding of its gradient
    metrics = [read_metrics(path).drop(columns="time") for path in (a, b)]
    pd.testing.assert_frame_equal(*metrics, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(*weights, rtol=1e-4, atol=1e-6)
    return weights[0].keys() == weights[1].keys()


def test_two_processes_learn_what_one_learns(run: Run, tmp_path: Path, database: Path) -> None:
    # The last batch of an epoch holds one record: the second process has nothing to do.
    arguments = train_arguments("generator", database, "batch_size=4", "generator_share=1", "reduction=sum")
    run(*arguments).done()
    single = only_run(tmp_path)
    run(*arguments, "trainer=ddp").done()
    [double] = set((tmp_path / "runs/train").iterdir()) - {single}
    assert like(double, single)
    assert sorted(path.name for path in double.rglob("*")) == sorted(
        path.name.replace(single.name, double.name) for path in single.rglob("*")
    )
    assert read_run(double)["status"] == "done"


def test_stopped_in_two_processes_and_resumed_in_one(
    tmp_path: Path, invoke: Run, database: Path, uninterrupted: Path
) -> None:
    process = start(tmp_path, train_arguments("predictor", database, *LONG, "trainer=ddp"))
    while process.poll() is None and not list(tmp_path.glob("runs/train/*/checkpoints/last.pt")):
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    folder = only_run(tmp_path)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert read_run(folder)["status"] == "interrupted"
    assert 0 < torch.load(folder / "checkpoints/last.pt", weights_only=True)["state"]["epoch"] < 30
    invoke(tmp_path, "resume", folder, "--devices", 1).done()
    assert like(folder, uninterrupted)


def test_devices_that_cannot_be_used(run: Run, database: Path, trained: dict[str, Path]) -> None:
    for value in ("0", "two", "1.5"):
        run(*train_arguments("predictor", database, f"trainer.devices={value}")).refused(f"devices={value}", "auto")
    run("resume", trained["predictor"], "--devices", "many").refused("trainer.devices=many")


# --- fine-tuning ----------------------------------------------------------------------------------------------


def test_fine_tuning_starts_from_a_checkpoint(
    run: Run, tmp_path: Path, database: Path, trained: dict[str, Path]
) -> None:
    for kind, folder in trained.items():
        file = folder / "checkpoints/best.safetensors"
        # A rate of nothing: what comes out is what went in.
        arguments = (f"init={file}", "optimizer.lr=1e-30", "model.hidden=16", "optimizer.weight_decay=0")
        run(*train_arguments(kind, database, *arguments)).done()
        new = max((tmp_path / "runs/train").iterdir(), key=lambda path: path.stat().st_ctime)
        before, after = Checkpoint.load(file), Checkpoint.load(new / "checkpoints/best.safetensors")
        assert after.parts[kind].config == before.parts[kind].config
        torch.testing.assert_close(after.parts[kind].state, before.parts[kind].state)
        assert after.provenance[kind]["init"] == {
            "checkpoint": "best.safetensors",
            "of": before.provenance[kind],
        }
        assert "hidden 8 instead of 16" in (new / "train.log").read_text()


def test_what_cannot_be_fine_tuned(run: Run, database: Path, trained: dict[str, Path]) -> None:
    def train(init: object, *more: str) -> Any:
        return run(*train_arguments("generator", database, f"init={init}", *more))

    train("nasbench200").refused("unknown checkpoint 'nasbench200'", "Did you mean 'nasbench201'?")
    train("nowhere.safetensors").refused("there is no checkpoint nowhere.safetensors")
    predictor = trained["predictor"] / "checkpoints/best.safetensors"
    train(predictor).refused(f"init={predictor} holds a predictor", "a generator is needed")
    train("nasbench201-metad2a").refused(
        "init=nasbench201-metad2a", "trained on features of the embedder 'efficientnet-lite0'"
    )


def same_result(a: Path, b: Path) -> bool:
    """Return whether two runs learned the same, bit for bit, and wrote down the same."""
    for path in (a, b):
        assert read_metrics(path)["step"].is_monotonic_increasing
    states = [torch.load(path / "checkpoints/last.pt", weights_only=True) for path in (a, b)]
    for state in states:
        del state["state"]["seconds"]
    weights = [load_file(path / "checkpoints/best.safetensors") for path in (a, b)]
    metrics = [read_metrics(path).drop(columns="time") for path in (a, b)]
    return equal(*states) and equal(*weights) and metrics[0].equals(metrics[1])


def equal(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)


def test_a_finished_run_stays_as_it_is_when_resumed_from_elsewhere(
    run: Run, tmp_path: Path, trained: dict[str, Path]
) -> None:
    folder = shutil.copytree(trained["generator"], tmp_path / "copy")
    run("resume", "copy").done()
    assert same_result(folder, trained["generator"])
    assert read_run(folder)["run_id"] == "copy"


def test_what_cannot_be_resumed(run: Run, tmp_path: Path, trained: dict[str, Path]) -> None:
    run("resume", "nowhere").refused("nowhere is no run folder", "metad2a ls runs")
    (tmp_path / "other/.hydra").mkdir(parents=True)
    (tmp_path / "other/.hydra/config.yaml").write_text("task_name: bake\n")
    run("resume", "other").refused("describes no job of metad2a", "'bake'")
    folder = shutil.copytree(trained["generator"], tmp_path / "torn")
    state = folder / "checkpoints/last.pt"
    state.write_bytes(state.read_bytes()[:1000])
    run("resume", "torn").refused("cannot resume from", "last.pt")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("database=nowhere", ["no database 'nowhere'", "no name of one that is shipped"]),
        ("device=tpu", ["unknown device 'tpu'", "cuda"]),
        ("embedder=pixel", ["unknown embedder 'pixel'", "Did you mean 'pixels'?"]),
        ("space=darts", ["unknown space 'darts'", "nasbench201"]),
        ("split=random", ["split=random", "by_task, official"]),
        ("split=official", ["without a split of its own"]),
        ("valid_fraction=1.5", ["1.5", "between 0 and 1"]),
        ("model.monitor=val/pearsn", ["'val/pearsn' was never a number", "val/pearson"]),
        ("optimizer.lr=-1", ["optimizer cannot be made", "Invalid learning rate"]),
        ("optimizer._target_=os.system", ["optimizer", "os.system", "torch.optim."]),
        ("tracker.names=[locl]", ["unknown tracker 'locl'", "Did you mean 'local'?"]),
        ("runs=file/runs", ["file/runs"]),
        ("precision=8-bit", ["precision", "8-bit"]),
        ("reduction=max", ["reduction=max", "mean", "sum"]),
        ("batch_size=0", ["batch_size=0"]),
        ("images_per_class=0", ["images_per_class=0"]),
        ("generator_share=2", ["generator_share=2"]),
        ("schedule.epochs=0", ["epochs=0"]),
        ("schedule.save_every=0", ["save_every=0"]),
        ("model.num_heads=3", ["num_heads"]),
        ("model.mode=best", ["model.mode=best", "min, max"]),
    ],
)
def test_values_that_cannot_be_used(
    run: Run, tmp_path: Path, database: Path, override: str, words: list[str]
) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    run(*train_arguments("predictor", database, override)).refused(*words)


def test_values_are_refused_before_images_are_looked_for(run: Run, tmp_path: Path) -> None:
    for overrides, words in (
        (["optimizer.lr=-1"], "optimizer cannot be made"),
        (["scheduler=plateau", "scheduler.make.factor=2.0"], "scheduler.make cannot be made"),
    ):
        run(*train_arguments("generator", tmp_path / "nowhere", *overrides)).refused(words)


def test_a_loss_that_explodes_is_told_without_a_traceback(run: Run, database: Path) -> None:
    arguments = ("optimizer=sgd", "optimizer.lr=1e38", "schedule.clip_norm=null", "schedule.epochs=10")
    run(*train_arguments("predictor", database, *arguments)).refused("not finite", "Lower the learning rate")


def test_paths_of_any_spelling(run: Run, tmp_path: Path, database: Path) -> None:
    odd = tmp_path / "my data, 'new' = [1]"
    shutil.copytree(database, odd)
    run(*train_arguments("generator", odd, "note=it's {one}, (two) = three")).done()
    config = json.loads((only_run(tmp_path) / "config.json").read_text())
    assert (config["database"], config["note"]) == (str(odd), "it's {one}, (two) = three")
