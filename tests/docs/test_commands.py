"""Every command of the README and of the how-to pages is run: as it is written there, or by a test named here.

Each page has a folder of its own with the files it speaks of; its commands run in their order, with something added
that makes them small.
"""

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from metad2a.models.checkpoint import Checkpoint
from metad2a.spaces.nasbench201 import NASBench201

Invoke = Callable[..., Any]
ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "how-to").glob("*.md"))]

_TINY_CELLS = (
    "recipe.epochs=1",
    "recipe.batch_size=8",
    "recipe.resolution=8",
    "recipe.scale={channels: 2, cells: 1}",
)
_LABELS = (*_TINY_CELLS, "recipe.images_per_epoch=null", "executor=inline", "archs_per_task=2")
_ERROR = "model.monitor=val/mae"  # of so few networks ranks may all be equal
_FEW_IMAGES = "label_source.mine.images_per_class=12"
_TWO_CLASSES = "label_source.mine.classes_per_task=2"
# What is added to a command, by its beginning; the first that fits.
SMALLER: dict[str, tuple[str, ...]] = {
    "metad2a train predictor init=nasbench201-metad2a": ("schedule.epochs=1", "max_images_per_class=2"),
    "metad2a train predictor database=my_database images=[tiny-imagenet=tiny]": ("debug=limit", _ERROR),
    "metad2a train surrogate": ("embedder=pixels", "max_images_per_class=4", "images_per_class=4"),
    "metad2a train": ("debug=limit",),
    "metad2a build-database --dry-run": ("executor=inline", *_TINY_CELLS),
    "metad2a build-database out=my_database label_source=images label_source.mine.source": (*_LABELS, _FEW_IMAGES),
    "metad2a build-database out=my_database label_source=images": (
        *_LABELS,
        _FEW_IMAGES,
        _TWO_CLASSES,
        "label_source.mine.tasks=4",
    ),
    "metad2a build-database": (*_LABELS, "label_source.glyphs.tasks=4", "label_source.glyphs.images_per_class=12"),
    "metad2a fit-network": (*_TINY_CELLS, "recipe.images_per_epoch=16"),
    "metad2a search my_images/ --checkpoint GENERATOR.safetensors --checkpoint SURROGATE.safetensors --queries": (
        *("--recipe", "quick.yaml", "--candidates", "20"),
    ),
    "metad2a search my_images/ --checkpoint GENERATOR.safetensors --checkpoint SURROGATE.safetensors": (
        *("--candidates", "20"),
    ),
    "metad2a search my_images/ --queries": ("--recipe", "quick.yaml", "--candidates", "20"),
    "metad2a search my_images/ --then-train": ("--recipe", "quick.yaml", "--candidates", "20"),
    "metad2a compare": (
        *("seeds=2", "budgets=[1,3]", "candidates=20", "rank_seeds=0", "images_per_class=2"),
        *("max_images_per_class=2", "database=demo"),
    ),
    "metad2a data prepare": ("--classes-per-task", "3", "--tasks-count", "2", "--valid-tasks", "1"),
}
# Commands whose files cannot be had here, or that take long: the test that runs them on small files of that form.
ELSEWHERE = {
    "make demo": "tests/cli/test_demo.py::test_the_demo_runs_from_end_to_end",
    "make test": "tests/docs/test_commands.py::test_commands",
    "metad2a train predictor experiment=demo model.target=ranks": (
        "tests/cli/test_train_variants.py::test_the_checkpoint_says_what_it_is"
    ),
    "metad2a search my_images/ --checkpoint g.safetensors": (
        "tests/cli/test_train_variants.py::test_search_by_it_and_by_an_ensemble"
    ),
    "metad2a train predictor experiment=demo trainer=ddp": (
        "tests/cli/test_train.py::test_two_processes_learn_what_one_learns"
    ),
    "metad2a resume runs/train/20261121-204836-f53b --devices 1": (
        "tests/cli/test_train.py::test_stopped_in_two_processes_and_resumed_in_one"
    ),
    "metad2a train predictor database=my_database images=[tiny_imagenet_32px.npz]": (
        "tests/cli/test_train_databases.py::test_recipes_are_chosen"
    ),
    'metad2a train predictor database=my_database "images=[mnist=mnist.npz': (
        "tests/cli/test_train_databases.py::test_a_database_of_several_sources"
    ),
    "metad2a train predictor experiment=metad2a_nasbench201": (
        "tests/cli/test_import_data.py::test_meta_train_on_official_files"
    ),
    "metad2a compare datasets=[my_images.npz] oracles=[my_table.csv:accuracy] baseline=shipped": (
        "tests/cli/test_compare.py::test_a_whole_comparison_and_its_continuation"
    ),
    "metad2a compare datasets=[my_images.npz] oracles=[my_table.csv:accuracy] baseline=ours": (
        "tests/cli/test_train_surrogate.py::test_compare_with_it"
    ),
    "metad2a compare datasets=[my_images.npz] oracles=[my_table.csv:accuracy] meta_validation=open split=own": (
        "tests/cli/test_compare.py::test_a_whole_comparison_and_its_continuation"
    ),
    "metad2a compare space=mobilenetv3": (
        "tests/cli/test_compare.py::test_two_objectives_on_an_oracle_that_is_no_table"
    ),
    "metad2a compare datasets=[my_images.npz] oracles=[my_table.csv:accuracy] seeds=10 budgets=[10,50,100,150]": (
        "tests/evaluation/compare/test_started.py::test_they_can_be_those_under_limits_of_cost"
    ),
    "metad2a import checkpoint": "tests/cli/test_import_checkpoint.py::test_search_with_official_weights",
    "metad2a search my_images/ --checkpoint official": (
        "tests/cli/test_import_checkpoint.py::test_search_with_official_weights"
    ),
    "metad2a search my_images/ --space mobilenetv3": (
        "tests/cli/test_search_scale.py::test_trade_offs_of_networks_of_a_scale"
    ),
    "metad2a import ofa": "tests/cli/test_import_ofa.py::test_the_folder_is_imported_and_the_page_can_use_it",
    "metad2a import metad2a-database": "tests/cli/test_import_data.py::test_meta_train_on_official_files",
    "metad2a import features": "tests/cli/test_import_data.py::test_meta_train_on_official_files",
    "metad2a train predictor experiment=paper": "tests/cli/test_import_data.py::test_meta_train_on_official_files",
    "metad2a search cifar10.safetensors": "tests/cli/test_import_data.py::test_search_from_official_features",
    "metad2a import records": "tests/cli/test_import_tables.py::test_records_of_ones_own_are_a_database",
    "metad2a data prepare imagenet ILSVRC2012": "tests/data/imagenet/test_prepare.py::test_folders",
    "metad2a data prepare imagenet Imagenet32_train": "tests/data/imagenet/test_prepare.py::test_batches",
    "metad2a data prepare imagenet tiny-imagenet-200": ("tests/data/imagenet/test_layouts.py::test_tiny_imagenet"),
    "metad2a train generator experiment=demo 'embedder=timm": (
        "tests/cli/test_embedders.py::test_a_checkpoint_remembers_its_embedder"
    ),
    "metad2a train predictor experiment=demo 'embedder=timm": (
        "tests/cli/test_embedders.py::test_a_checkpoint_remembers_its_embedder"
    ),
    "metad2a train generator experiment=demo teacher=": (
        "tests/cli/test_train_surrogate.py::test_a_generator_learns_from_it"
    ),
    "metad2a train surrogate database=my_database more_databases=": (
        "tests/cli/test_train_databases.py::test_several_databases_of_several_recipes"
    ),
    "metad2a train predictor database=mixed label_recipe=rank60k more_databases=": (
        "tests/cli/test_train_databases.py::test_a_search_is_told_recipe_and_aim"
    ),
    "metad2a search my_images/ --checkpoint GENERATOR.safetensors --checkpoint BOTH.safetensors": (
        "tests/cli/test_train_databases.py::test_a_search_is_told_recipe_and_aim"
    ),
    "metad2a train generator experiment=demo generator_share=1": (
        "tests/cli/test_train_databases.py::test_a_search_is_told_recipe_and_aim"
    ),
    "metad2a search my_images/ --checkpoint GENERATOR.safetensors --checkpoint SURROGATE.safetensors --want": (
        "tests/cli/test_train_databases.py::test_a_search_is_told_recipe_and_aim"
    ),
    "metad2a train supernet": "tests/cli/test_train_supernet.py::test_a_supernet_is_trained_interrupted_and_used",
    "python scripts/measure_supernet.py": "tests/scripts/test_measure_supernet.py::test_ranks_are_told_and_kept",
    "python scripts/score_space.py": "tests/scripts/test_score_space.py::test_the_command_writes_the_table",
    "metad2a build-database space=mobilenetv3 recipe=inherited": (
        "tests/database/test_inherited_labels.py::test_a_database_is_built_by_a_command"
    ),
    "metad2a fit-network found.json": (
        "tests/cli/test_fit_from_supernet.py::test_a_network_is_fine_tuned_and_goes_on"
    ),
    "METAD2A_EMBEDDER_WEIGHTS=": "tests/cli/test_embedders.py::test_a_checkpoint_remembers_its_embedder",
}
# Programs of others, which want an account or run until they are stopped: that they are there is all we can see.
OTHERS = ("wandb", "tensorboard", "pip")


def commands(page: Path) -> list[str]:
    """Return the command lines on a page, with continued lines joined."""
    blocks = re.findall(r"^```(?:sh|bash)\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", "".join(blocks)).splitlines()
    return [line for line in lines if shlex.split(line, comments=True)]


def elsewhere(line: str) -> str | None:
    return next((test for beginning, test in ELSEWHERE.items() if line.startswith(beginning)), None)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.stem)
def test_commands(page: Path, invoke: Invoke, workshop: Path) -> None:
    for line in commands(page):
        if elsewhere(line) is None:
            run_line(invoke, workshop, line)


@pytest.mark.parametrize(("line", "test"), ELSEWHERE.items())
def test_what_runs_elsewhere_does(line: str, test: str) -> None:
    file, _, name = test.partition("::")
    assert f"def {name}(" in (ROOT / file).read_text("utf-8")
    assert any(command.startswith(line) for page in PAGES for command in commands(page)), "no page has it any more"


def run_line(invoke: Invoke, folder: Path, line: str) -> None:
    program, *arguments = shlex.split(line, comments=True)
    if program in OTHERS:
        assert shutil.which(program, path=f"{ROOT}/.venv/bin:{os.environ['PATH']}"), f"'{line}' cannot be run"
        return
    if program == "python":
        subprocess.run([program, *arguments], cwd=folder, check=True)
        return
    assert program == "metad2a", f"no test runs '{line}'"
    added = next((more for beginning, more in SMALLER.items() if line.startswith(beginning)), ())
    words = [_made_before(folder, word) for word in arguments]
    outcome = invoke(folder, *words, *added)
    assert outcome.code == 0, f"{line}\n{outcome.out}{outcome.err}"


def _made_before(folder: Path, word: str) -> str:
    """Return ``word`` with the example of a run or checkpoint replaced by the newest one that there is."""
    run = re.match(r"runs/[\w-]+/", word)
    if run:
        made = [path for path in (folder / run[0]).iterdir() if (path / "run.json").is_file()]
        return str(max(made, key=lambda path: path.stat().st_mtime).relative_to(folder))
    checkpoint = re.search(r"(?:my_)?(generator|predictor|surrogate)\.safetensors$", word, re.IGNORECASE)
    if checkpoint:
        files = sorted(
            folder.glob("runs/train/*/checkpoints/best.safetensors"), key=lambda file: file.stat().st_mtime
        )
        newest = [file for file in files if checkpoint[1].lower() in Checkpoint.load(file).parts][-1]
        return word[: checkpoint.start()] + str(newest.relative_to(folder))
    return word


def write_table(path: Path) -> None:
    """Write made-up accuracies of the whole space, and seconds."""
    space = NASBench201()
    accuracy = np.linspace(10, 90, space.size)
    columns = {"accuracy": accuracy, "accuracy_12": accuracy[::-1], "seconds": 100 * accuracy}
    table = pd.DataFrame({"arch": [space.format(arch) for arch in space.enumerate()], **columns})
    table.to_csv(path, index=False)


@pytest.fixture
def workshop(tmp_path: Path, request: pytest.FixtureRequest, invoke: Invoke) -> Path:
    """Write the files that the pages speak of."""
    page = request.node.callspec.id
    pixels = np.random.default_rng(0).integers(0, 256, (36, 16, 16, 3), dtype=np.uint8)
    for number, image in enumerate(pixels):
        for folder in ("my_images", "my_test_images"):
            file = tmp_path / folder / f"class {number % 3}" / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image if folder == "my_images" else 255 - image).save(file)
    np.savez(tmp_path / "my_images.npz", x=pixels, y=np.arange(36) % 3)
    (tmp_path / "quick.yaml").write_text(
        "{name: quick, epochs: 1, batch_size: 8, learning_rate: 0.1, resolution: 8, scale: {channels: 2, cells: 1}}"
    )
    np.savez(
        tmp_path / "tiny_imagenet_16px.npz",
        x=np.resize(pixels, (240, 16, 16, 3)),
        y=np.arange(240) % 20,
        classes=[f"n{number:08d}" for number in range(20)],
    )
    if page == "meta-train":  # goes on with a database and a generator that one has
        run_line(invoke, tmp_path, "metad2a build-database out=my_database")
        run_line(invoke, tmp_path, "metad2a train generator database=my_database")
    if page == "compare-methods":
        write_table(tmp_path / "my_table.csv")
    if page == "build-a-database":
        for name in ("first", "second"):
            run_line(invoke, tmp_path, "metad2a build-database out=my_database")
            shutil.copytree(tmp_path / "my_database", tmp_path / name)
    return tmp_path
