"""metad2a train surrogate, and a search with one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from metad2a.models.checkpoint import Checkpoint
from metad2a.search import candidate_trainer
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.tracking.read import read_run

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def surrogate(tmp_path_factory: pytest.TempPathFactory, invoke: Run, tiny_database: tuple[str, ...]) -> Path:
    """Return the run folder of a surrogate of a really built database with five cells a task."""
    folder = tmp_path_factory.mktemp("surrogate")
    more = [text for text in tiny_database if not text.startswith("archs_per_task")]
    invoke(folder, "build-database", "out=tiny", "name=tiny", *more, "archs_per_task=5").done()
    quick = ("embedder=pixels", "max_images_per_class=4", "images_per_class=4")
    invoke(folder, "train", "surrogate", f"database={folder / 'tiny'}", *quick).done()
    [made] = (folder / "runs/train").iterdir()
    return made


def test_a_run_leaves_everything_behind(surrogate: Path) -> None:
    assert read_run(surrogate)["status"] == "done"
    checkpoint = Checkpoint.load(surrogate / "checkpoints/best.safetensors")
    assert set(checkpoint.parts) == {"surrogate"}
    assert checkpoint.embedder["name"] == "pixels"
    assert checkpoint.reference is not None
    assert {"val/pair_error", "val/coverage80", "train/log_likelihood"} <= set(checkpoint.metrics["surrogate"])
    assert checkpoint.provenance["surrogate"]["database"] == "tiny"


def test_search_with_it(run: Run, tmp_path: Path, npz: Path, surrogate: Path, trained: dict[str, Path]) -> None:
    files = [folder / "checkpoints/best.safetensors" for folder in (trained["generator"], surrogate)]
    search = ("search", npz, "--checkpoint", files[0], "--checkpoint", files[1], "--candidates", 20)
    outcome = run(*search, "--json", "a.json").done()
    found = json.loads((tmp_path / "a.json").read_text())
    assert len(found["candidates"]) == 20
    assert all(one["std"] > 0 for one in found["candidates"])
    assert found["explanation"]["sureness"]["pair_error"] > 0
    assert "explanation" in found
    assert outcome.out.count("|+|") >= 20
    run(*search, "--refinements", 0, "--json", "b.json").done()
    plain = json.loads((tmp_path / "b.json").read_text())
    assert found["candidates"][0]["predicted"] >= plain["candidates"][0]["predicted"]
    run(*search, "--refinements", -1).refused("refinements=-1")


def test_what_cannot_be(run: Run, surrogate: Path) -> None:
    database = surrogate.parents[2] / "tiny"
    run("train", "surrogate", f"database={database}", "init=nasbench201").refused("starts from nothing")
    file = surrogate / "checkpoints/best.safetensors"
    run("search", "embedded:digits", "--checkpoint", file).refused("give the generator's file too")


def test_a_generator_learns_from_it(run: Run, tmp_path: Path, npz: Path, surrogate: Path) -> None:
    database, file = surrogate.parents[2] / "tiny", surrogate / "checkpoints/best.safetensors"
    quick = ("embedder=pixels", "max_images_per_class=4", "images_per_class=4", "schedule.epochs=1")
    small = ("teacher_archs=20", "model.hidden=8", "model.latent=8", "model.num_heads=2")
    train = ("train", "generator", f"database={database}", *quick, *small)
    run(*train, f"teacher={file}").done()
    [made] = (tmp_path / "runs/train").iterdir()
    best = made / "checkpoints/best.safetensors"
    checkpoint = Checkpoint.load(best)
    assert checkpoint.provenance["generator"]["teacher"]["of"]["database"] == "tiny"
    assert checkpoint.train_archs == Checkpoint.load(file).train_archs  # what was labelled, not what was taught
    run("search", npz, "--checkpoint", best, "--checkpoint", file, "--candidates", 5, "--json", "a.json").done()
    assert len(json.loads((tmp_path / "a.json").read_text())["candidates"]) == 5
    run(*train, f"teacher={best}").refused(f"teacher={best} holds a generator, but a surrogate is needed")
    run(*train, f"teacher={file}", "teacher_share=0").refused("share=0.0", "give a share above 0")
    run("train", "predictor", f"database={database}", *quick, f"teacher={file}").refused("only a generator learns")


def test_true_evaluations(run: Run, tmp_path: Path, npz: Path, surrogate: Path, trained: dict[str, Path]) -> None:
    files = [folder / "checkpoints/best.safetensors" for folder in (trained["generator"], surrogate)]
    search = ("search", npz, "--checkpoint", files[0], "--checkpoint", files[1], "--candidates", 30)
    space = NASBench201()
    archs = list(space.enumerate())
    rows = zip(map(space.format, archs), space.params(archs, 3) / 1e5 + 50, strict=True)
    (tmp_path / "t.csv").write_text("arch,mine\n" + "".join(f"{arch},{value}\n" for arch, value in rows))
    table = ("--oracle", "t.csv", "--oracle-column", "mine")
    export = ("--export", "nets", "--top", 1, "--no-onnx", "--html", "r.html")
    outcome = run(*search, *table, "--queries", 6, "--json", "found.json", *export).done()
    queries = json.loads((tmp_path / "found.json").read_text())["queries"]
    assert len(queries["trail"]) == 6
    assert queries["accuracy"] == max(row["accuracy"] for row in queries["trail"])
    assert f"best: {queries['accuracy']:.2f} %" in outcome.out
    found = json.loads((tmp_path / "found.json").read_text())["candidates"]
    assert found[queries["rank"] - 1]["arch"] == queries["best"]
    assert f"(rank {queries['rank']} of the candidates)" in outcome.out
    assert {path.name for path in (tmp_path / "nets").iterdir()} == {"rank1", f"rank{queries['rank']}"}
    assert queries["rank"] > 1, "or this shows nothing"
    page = (tmp_path / "r.html").read_text().replace("<wbr>", "")
    assert f"6 evaluations by {queries['oracle']}, one after another" in page
    assert all(row["arch"] in page for row in queries["trail"])
    advice = json.loads((tmp_path / "found.json").read_text())["explanation"]["advice"]
    assert advice[0]["text"] == f"Train rank {queries['rank']}, the best that --queries found, to its end."
    assert queries["best"] in advice[0]["command"]
    steps = [f"Next: {one['text']} {one['command']}" for one in advice[:2]]
    lines = outcome.out.splitlines()
    assert lines[-len(steps) :] == steps, "what was advised before the evaluations is not shown"
    assert sum("Next: " in line for line in lines) == len(steps)
    assert not any("--then-train" in one["command"] for one in advice)
    few = run(*search, *table, "--queries", 30, "--enough", 100).done().out
    assert "1 evaluations by" in few
    assert "the next one promised only" in few
    (tmp_path / "quick.yaml").write_text(
        "{name: quick, epochs: 1, batch_size: 8, learning_rate: 0.1, resolution: 8, scale: {channels: 2, cells: 1}}"
    )
    trained_ones = (*search, "--queries", 2, "--recipe", "quick.yaml", "--train-seeds", 2)
    first = run(*trained_ones).done().out
    assert "by training:quick, on validation images" in first
    with mock.patch.object(candidate_trainer, "fit_found", side_effect=AssertionError("trained again")):
        assert run(*trained_ones).done().out.partition("2 evaluations")[2] == first.partition("2 evaluations")[2]
    with mock.patch.object(candidate_trainer, "fit_found", side_effect=KeyboardInterrupt):
        stopped = run(*search, "--queries", 3, "--recipe", "quick.yaml", "--train-seeds", 2)
    assert stopped.code == 130
    assert "the same command goes on with the next one" in stopped.err
    run(*search, "--queries", 2, "--oracle", "t.csv").refused("--oracle-column")
    run(*search, "--queries", -1).refused("--queries -1")


def test_compare_with_it(run: Run, tmp_path: Path, npz: Path, surrogate: Path, trained: dict[str, Path]) -> None:
    generator, file = (folder / "checkpoints/best.safetensors" for folder in (trained["generator"], surrogate))
    space = NASBench201()
    archs = list(space.enumerate())
    rows = zip(map(space.format, archs), space.params(archs, 3) / 1e5 + 50, strict=True)
    (tmp_path / "t.csv").write_text("arch,mine\n" + "".join(f"{arch},{value}\n" for arch, value in rows))
    methods = f"'ours=metad2a:{generator}+{file}','asks=surrogate:{file}?queries=true'"
    blind = f"'blind=metad2a:{generator}+{file}?dataset=shuffled&candidates=30'"
    command = (
        "compare",
        f"datasets=['{npz}']",
        "oracles=[t.csv:mine]",
        "baseline=ours",
        "budgets=[1,10]",
        "seeds=2",
    )
    small = ("candidates=30", "rank_seeds=0", "images_per_class=2", "database=demo", "json=out.json")
    run(*command, *small, f"methods=[{methods},{blind}]", "others=['embedded:digits','embedded:glyphs']").done()
    found = json.loads((tmp_path / "out.json").read_text())
    means = {row["method"]: row["mean"] for row in found["rows"] if row["budget"] == 10}
    assert means["asks"] > 50 + 0.9 * max(space.params(archs, 3)) / 1e5 * 0.5, "ten evaluations say what is good"
    assert {(row["method"], row["what"]) for row in found["generated"]} == {
        *(("ours", what) for what in ("sampled", "handed_out")),
        *(("blind", what) for what in ("sampled", "handed_out")),
        ("asks", "handed_out"),
    }
    run(*command, *small, f"methods=[{methods},{blind}]").refused("another data set", "others=[IMAGES, ...]")


def test_a_predictor_alone_cannot_learn(run: Run, npz: Path, checkpoints: list[str]) -> None:
    run("search", npz, *checkpoints, "--queries", 2, "--recipe", "short").refused(
        "needs a surrogate", "--then-train"
    )
