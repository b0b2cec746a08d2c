"""metad2a train on databases of several image sources, with splits of their own, and of several recipes."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metad2a.database import published
from metad2a.database.planning import plan
from metad2a.database.records import Record, Task
from metad2a.fitting.recipe import Recipe
from metad2a.models.checkpoint import Checkpoint
from metad2a.runtime import numpy_rng
from metad2a.spaces.registry import get_space

Run = Callable[..., Any]
SPLIT = {"mnist": ("train", "train", "valid"), "signs": ("valid", "valid")}
RECIPE = Recipe(name="short", epochs=1, batch_size=8, learning_rate=0.1, schedule="cosine", resolution=8)
IMAGES = "images=[mnist=mnist=1.npz,signs=some signs.npz]"


def write_database(
    folder: Path, *, shared: bool = False, recipes: Sequence[str] = ("short",), space: str = "nasbench201"
) -> Path:
    """Write labels of digits, one source held out whole and two classes of the other; or a task in both parts."""
    rows, tasks, used = [], [], {}
    for source, parts in SPLIT.items():
        for number, part in enumerate(parts):
            classes = ("3", "4") if (source, part) == ("mnist", "valid") else ("0", "1", "2")
            task = Task(source, classes, 10, number, 0.2)
            tasks.append(task)
            for name in recipes:
                recipe = replace(RECIPE, name=name, epochs=len(name))
                used[recipe.fingerprint] = recipe.to_dict()
                jobs = plan(get_space(space), [task], archs_per_task=6, recipe=recipe, seeds=(0, 1), seed=number)
                for place, job in enumerate(jobs):
                    accuracy = 50 + 10 * float(numpy_rng(name, job.arch, task.id, job.seed).random())
                    split = "valid" if shared and tasks[0] == task and place < 4 else part
                    rows.append(published.record_row(Record.of(job, status="ok", accuracy=accuracy, split=split)))
    published.publish(
        folder,
        name="digits",
        space=space,
        tasks=tasks,
        rows=rows,
        recipes=used,
        sources=dict.fromkeys(SPLIT, "none"),
        command="none",
    )
    return folder


@pytest.fixture
def images(tmp_path: Path) -> None:
    """Write digits of two kinds, under names that Hydra's grammar would not read."""
    for number, name in enumerate(("mnist=1.npz", "some signs.npz")):
        x = np.random.default_rng(number).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
        np.savez(tmp_path / name, x=x, y=np.arange(30) % 5)


def options(*more: str) -> tuple[str, ...]:
    return ("database=db", "debug=limit", "embedder=pixels", IMAGES, *more)


@pytest.mark.parametrize("kind", ["generator", "predictor", "surrogate"])
@pytest.mark.usefixtures("images")
def test_the_space_is_that_of_the_database(run: Run, tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "db", space="mobilenetv3-compact")
    small = () if kind == "surrogate" else ("debug=limit",)
    told = ("train", kind, "database=db", "embedder=pixels", IMAGES, *small)
    run(*told, "space=nasbench201").refused(
        "the database is of space 'mobilenetv3-compact', not 'nasbench201'", "Leave out space="
    )
    run(*told).done()
    [file] = tmp_path.glob("runs/train/*/checkpoints/best.safetensors")
    assert Checkpoint.load(file).space == "mobilenetv3-compact"


def provenance(folder: Path, kind: str = "predictor") -> dict[str, Any]:
    [file] = folder.glob("runs/train/*/checkpoints/best.safetensors")
    return Checkpoint.load(file).provenance[kind]


@pytest.mark.parametrize("kind", ["predictor", "generator"])
@pytest.mark.usefixtures("images")
def test_a_database_of_several_sources(run: Run, tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "db")
    done = run("train", kind, *options()).done()
    assert "val/new_tasks" not in done.out
    made = provenance(tmp_path, kind)
    split = made["split"]
    assert (split["name"], split["labels"], split["tasks"], split["same_tasks"]) == ("own", 36, 3, 0)
    assert (split["classes"], split["shared_classes"]) == (5, 0)
    assert list(made["recipe"].values()) == ["short"]
    assert made["records"] == (24 if kind == "predictor" else 12)


@pytest.mark.parametrize("kind", ["predictor", "generator"])
@pytest.mark.usefixtures("images")
def test_tasks_in_both_parts(run: Run, tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "db", shared=True)
    done = run("train", kind, *options("split=official")).done()
    score = "spearman" if kind == "predictor" else "recon_nll"
    assert f"{kind}: scores of the kept epoch, on tasks that are not in meta-training" in done.out
    [file] = tmp_path.glob("runs/train/*/checkpoints/best.safetensors")
    assert {f"val/{score}", f"val/new_tasks/{score}"} <= set(Checkpoint.load(file).metrics[kind])
    made = provenance(tmp_path, kind)["split"]
    assert (made["name"], made["labels"], made["tasks"], made["same_tasks"]) == ("own", 40, 4, 1)


@pytest.mark.usefixtures("images")
def test_validation_is_by_task_where_the_databases_split_shares_some(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db", shared=True)
    done = run("train", "predictor", *options()).done()
    assert "val/new_tasks" not in done.out
    made = provenance(tmp_path)["split"]
    assert (made["name"], made["tasks"], made["same_tasks"]) == ("by_task", 1, 0)


@pytest.mark.usefixtures("images")
def test_recipes_are_chosen(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db", recipes=("short", "long"))
    run("train", "predictor", *options()).refused("labels of 2 recipes", "long (", "short (", "label_recipe=")
    run("train", "predictor", *options("label_recipe=lung")).refused("Did you mean 'long'")
    run("train", "predictor", *options("label_recipe=long")).done()
    made = provenance(tmp_path)
    assert list(made["recipe"].values()) == ["long"]
    assert {key: whole["name"] for key, whole in made["recipes"].items()} == made["recipe"]
    assert made["records"] == 24


@pytest.mark.parametrize("kind", ["predictor", "surrogate", "generator"])
@pytest.mark.usefixtures("images")
def test_several_databases_of_several_recipes(run: Run, tmp_path: Path, kind: str) -> None:
    write_database(tmp_path / "db")
    write_database(tmp_path / "more", recipes=("long", "short"))
    limits = ("debug=limit",) * (kind != "surrogate")
    done = run("train", kind, "database=db", "embedder=pixels", IMAGES, *limits, "more_databases=[more]").done()
    assert "labels by recipe: short: 60, long: 24; the first is predicted" in done.out + done.err
    made = provenance(tmp_path, kind)
    assert sorted(made["recipe"].values()) == ["long", "short"]
    assert made["records"] == (24 if kind == "generator" else 48)
    assert made["database"] == "digits+digits"
    [file] = tmp_path.glob("runs/train/*/checkpoints/best.safetensors")
    if kind != "generator":
        recipes = Checkpoint.load(file).parts[kind].config["recipes"]
        assert list(recipes) == ["short", "long"]


@pytest.mark.usefixtures("images")
def test_a_search_is_told_recipe_and_aim(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db")
    write_database(tmp_path / "more", recipes=("long",))
    several = ("more_databases=[more]", "model.tau=0.25")
    run("train", "surrogate", "database=db", "embedder=pixels", IMAGES, *several).done()
    wishes = ("model.condition=[accuracy,flops]", "generator_share=1.0", "note=told")
    run("train", "generator", *options("more_databases=[more]", *wishes)).done()
    files = tmp_path.glob("runs/train/*/checkpoints/best.safetensors")
    kinds = {next(iter(Checkpoint.load(file).parts)): file for file in files}
    both = [text for file in kinds.values() for text in ("--checkpoint", file)]
    search = ("search", "mnist=1.npz", *both, "--candidates", 20, "--refinements", 0)
    found = {}
    for name, more in {
        "first": (),
        "long": ("--label-recipe", "long"),
        "small": ("--want", "flops=1e7", "--want", "accuracy=0.5"),
    }.items():
        run(*search, *more, "--json", f"{name}.json").done()
        found[name] = json.loads((tmp_path / f"{name}.json").read_text())["candidates"]
    assert len({json.dumps(candidates) for candidates in found.values()}) == 3
    write_database(tmp_path / "mixed", recipes=("short", "long"))
    mixed = ("database=mixed", "label_recipe=long", "more_databases=[mixed]")
    run("train", "predictor", *options(*mixed, "model.target=ranks")).done()
    made = {next(iter(Checkpoint.load(file).parts)): file for file in tmp_path.glob("runs/*/*/*/best.safetensors")}
    assert list(Checkpoint.load(made["predictor"]).parts["predictor"].config["recipes"]) == ["long", "short"]
    run(*search, "--label-recipe", "lang").refused("Did you mean 'long'")
    run(*search, "--want", "flops").refused("--want flops: give a name and a number")
    run(*search, "--want", "accuracy=2").refused("give a share above 0 and up to 1")
    run("search", "mnist=1.npz", "--want", "accuracy=1").refused("not trained to be told")
    run("search", "mnist=1.npz", "--label-recipe", "long").refused("labels of one recipe")
    run("train", "generator", *options("model.condition=[size]")).refused("unknown condition", "accuracy, flops")
    told = kinds["generator"]
    run("train", "generator", *options(f"init={told}", "model.condition=[params]")).refused("was trained with")
    run("train", "generator", *options(f"init={told}", "note=tuned")).done()


@pytest.mark.usefixtures("images")
def test_fine_tuning_is_on_one_database(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db")
    run("train", "predictor", *options()).done()
    [file] = tmp_path.glob("runs/train/*/checkpoints/best.safetensors")
    run("train", "predictor", *options(f"init={file}", "more_databases=[db]")).refused("on one database")


@pytest.mark.usefixtures("images")
def test_mistakes_with_images(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db")
    run("train", "predictor", *options("images=[mnist=mnist=1.npz]")).refused("of source 'signs'", "images=[signs=")
    run("train", "predictor", *options("images=[./mnist=1.npz]")).refused("both have a class", "signs=PLACE")
    run("train", "predictor", *options("images=[sings=mnist=1.npz]")).refused("Did you mean 'signs'")


@pytest.mark.usefixtures("images")
def test_runs_from_before_there_were_recipes_are_resumed(run: Run, tmp_path: Path) -> None:
    write_database(tmp_path / "db")
    run("train", "predictor", *options("split=by_task", "schedule.epochs=1")).done()
    [folder] = (tmp_path / "runs/train").iterdir()
    config = folder / ".hydra/config.yaml"
    values = yaml.safe_load(config.read_text())
    del values["label_recipe"]
    values["schedule"]["epochs"] = 2
    config.write_text(yaml.safe_dump(values))
    run("resume", folder).done()
    assert provenance(tmp_path)["split"]["name"] == "by_task"
