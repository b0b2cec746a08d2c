"""The command line as a whole: help, exit codes, and the small commands."""

import os
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import metad2a
from metad2a.cli import main as command_line

Run = Callable[..., Any]
COMMANDS = (
    *("search", "train", "evaluate", "build-database", "resume", "demo", "import", "ls", "info", "report"),
    *("compare", "benchmark", "data", "database", "fit-network", "inspect", "export"),
)
HYDRA_COMMANDS = (("train", "generator"), ("train", "predictor"), ("evaluate",), ("compare",), ("build-database",))


def python(code: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)


def test_help_and_import_are_light(tmp_path: Path) -> None:
    heavy = "{'torch', 'numpy', 'pandas', 'hydra', 'matplotlib', 'wandb', 'sklearn', 'scipy'}"
    done = python(f"import sys, metad2a; print({heavy} & set(sys.modules))", tmp_path)
    assert done.stdout.strip() == "set()", done.stderr
    code = f"""
import sys
sys.argv = ["metad2a", "--help"]
from metad2a.cli.main import main
try:
    main()
finally:
    print({heavy} & set(sys.modules))
"""
    done = python(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "set()"


def test_the_process_tells_a_mistake_by_its_exit_code(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metad2a", "search", "nowhere", "--candidates", "-3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: --candidates -3: give a number of at least 1.\n"


def test_the_version_and_short_help(run: Run) -> None:
    assert run("--version").done().out == f"metad2a {metad2a.__version__}\n"
    assert "inspect [OPTIONS]" in run("inspect", "-h").done().out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(run: Run, command: str) -> None:
    text = run(command, "--help").done().out
    assert f"metad2a {command}" in text or "Usage" in text
    assert command in run("--help").out


def test_the_commands_are_those_of_the_contract() -> None:
    names = {info.name or info.callback.__name__ for info in command_line.app.registered_commands if info.callback}
    groups = {str(info.name) for info in command_line.app.registered_groups}
    assert names | groups == set(COMMANDS)


def test_wrong_usage(run: Run) -> None:
    for arguments in ([], ["nope"], ["train"], ["search"], ["ls", "--nope"], ["train", "generator", "--nope"]):
        assert run(*arguments).code == 2, arguments


@pytest.mark.parametrize("command", HYDRA_COMMANDS)
def test_a_configuration_can_be_looked_at(run: Run, tmp_path: Path, command: tuple[str, ...]) -> None:
    text = run(*command, "--cfg", "job").done().out
    assert f"task_name: {command[0]}" in text
    assert f"kind: {command[1]}" in text if len(command) > 1 else "kind: generator" not in text
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("command", ["evaluate", "compare"])
@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("nasbench201-metad2a", " nasbench201-metad2a"),
        ("a b.safetensors+it's.safetensors", " a b.safetensors+it's.safetensors"),
        ("[a b.safetensors,it's.safetensors]", "\n- a b.safetensors\n- it's.safetensors"),
    ],
)
def test_checkpoints_are_told_alike_to_evaluate_and_compare(run: Run, command: str, given: str, read: str) -> None:
    assert f"checkpoint:{read}\n" in run(command, f"checkpoint={given}", "--cfg", "job").done().out


@pytest.mark.parametrize("command", HYDRA_COMMANDS)
def test_configuration_mistakes_common_to_all(run: Run, command: tuple[str, ...]) -> None:
    run(*command, "rnus=here").refused("unknown configuration key 'rnus'", "Did you mean 'runs'?")
    run(*command, "runs").refused("missing EQUAL")
    run(*command, "task_name=[").refused("configuration")


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seeed=1", ["unknown configuration key 'seeed'", "Did you mean 'seed'?", "--cfg job"]),
        ("epochs=3", ["unknown configuration key 'epochs'", "Did you mean 'schedule.epochs'?"]),
        ("model.betta=1", ["unknown configuration key 'model.betta'", "Did you mean 'model.beta'?"]),
        ("model={betta:1}", ["unknown configuration key 'model.betta'", "Did you mean 'model.beta'?"]),
        ("schedule=3", ["'schedule' takes no value of its own. Set schedule.epochs=, schedule.clip_norm="]),
        ("optimizer.lrr=1", ["Did you mean 'optimizer.lr'?"]),
        ("experimnt=demo", ["Did you mean 'experiment'?"]),
        ("experiment=dmeo", ["unknown experiment 'dmeo'", "Did you mean 'demo'?"]),
        ("optimizer=adan", ["unknown optimizer 'adan'", "Did you mean 'adam'?", "adam, adamw, sgd"]),
        ("debug=limt", ["unknown debug 'limt'", "Did you mean 'limit'?"]),
        ("seed=one", ["'seed'", "'one'", "Integer"]),
        ("schedule.epochs=1.5", ["'schedule.epochs'", "1.5", "Integer"]),
        ("model.hidden=null", ["model.hidden", "not Optional"]),
        ("model=foo", ["unknown model 'foo'", "generator, predictor"]),
    ],
)
def test_configuration_mistakes(run: Run, tmp_path: Path, override: str, words: list[str]) -> None:
    run("train", "generator", override).refused(*words)
    assert not list(tmp_path.iterdir())


def test_models_are_generators_or_predictors(run: Run) -> None:
    run("train", "predictr").refused("unknown model 'predictr'", "Did you mean 'predictor'?")


def test_ls(run: Run, tmp_path: Path) -> None:
    text = run("ls").done().out
    for line in (
        "spaces: mobilenetv3, mobilenetv3-compact, nasbench201",
        "embedders: efficientnet-lite0, pixels",
        "recipes: demo, finetune, finetune_short, inherited,",
        "runs: none",
    ):
        assert line in text
    assert "demo" in run("ls", "experiments").done().out
    assert "images: embedded:digits, embedded:glyphs, torchvision:CIFAR10," in run("ls", "images").done().out
    assert "paper/nasbench201" in run("ls", "experiments").out
    run("ls", "expriments").refused("unknown list 'expriments'", "Did you mean 'experiments'?")


def test_ls_shows_the_runs_of_this_folder(invoke: Run, trained: dict[str, Path]) -> None:
    text = invoke(trained["generator"].parents[2], "ls", "runs").done().out
    assert all(f"{folder.name} (done)" in text for folder in trained.values())


def test_info(run: Run, database: Path, trained: dict[str, Path]) -> None:
    text = run("info").done().out
    assert all(word in text for word in (f"metad2a: {metad2a.__version__}", "torch: ", "device: ", "cache: "))
    assert "counts: tasks 4, records 12, failures 0, archs " in run("info", database).done().out
    assert "status: done" in run("info", trained["generator"]).done().out
    text = run("info", trained["predictor"] / "checkpoints/best.safetensors").done().out
    assert "space: nasbench201" in text
    assert re.search(r"^models:\n  predictor: parameters [\d,]+, feature_dim 192, ", text, re.MULTILINE)
    assert re.search(r"^provenance:\n  predictor: database tiny, seed 0, ", text, re.MULTILINE)
    assert not set(text) & set('{}[]"')
    run("info", "nothing").refused(
        "'nothing' is no checkpoint, supernet, database, feature file or run folder", "metad2a ls"
    )
    run("info", "away.safetensors").refused("no checkpoint away.safetensors")


def test_report(run: Run, tmp_path: Path, trained: dict[str, Path]) -> None:
    run("report", trained["generator"].parent, "--html", "curves.html").done()
    page = (tmp_path / "curves.html").read_text()
    assert all(folder.name in page for folder in trained.values())
    assert "metad2a report" in page
    run("report", "nowhere").refused("no run in nowhere")
    run("report", trained["generator"], "--html", ".").refused("cannot write", "folder")


class _Evil:
    def __reduce__(self) -> Any:
        return (os.mkdir, ("burgled",))


def test_a_file_that_would_run_code_is_not_opened(run: Run, tmp_path: Path) -> None:
    (tmp_path / "official").mkdir()
    for name in (
        "meta_train_tasks_predictor.pt",
        "meta_train_tasks_predictor_idx.pt",
        "meta_train_task_lst.pt",
        "imagenet32_label_to_wnid.json",
    ):
        (tmp_path / "official" / name).write_bytes(pickle.dumps(_Evil()))
    run("import", "metad2a-database", "official", "imported").refused("meta_train_tasks_predictor", "mkdir")
    assert not (tmp_path / "burgled").exists()
    assert not (tmp_path / "imported").exists()


def test_what_cannot_be_imported(run: Run) -> None:
    run("import", "metad2a-databse", "a", "b").refused("Did you mean 'metad2a-database'?")
    run("import", "metad2a-database", "nowhere", "b").refused("nowhere")
