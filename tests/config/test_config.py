"""The files in conf/: everything composes, nothing is misspelt, and what they say can be used."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from metad2a.cli import configuration, schemas
from metad2a.cli.commands.hydra_jobs import KINDS
from metad2a.cli.configuration import compose, instantiate_node, options, plain, quote
from metad2a.cli.jobs import train
from metad2a.errors import ConfigError
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import shipped
from metad2a.tracking.build import make_trackers

CONF = shipped("conf")
PRIMARY: dict[str, Any] = {
    "train": schemas.TrainConf,
    "evaluate": schemas.EvaluateConf,
    "compare": schemas.CompareConf,
    "build_database": schemas.BuildDatabaseConf,
    "fit_network": schemas.FitNetworkConf,
    "train_supernet": schemas.TrainSupernetConf,
}
SCHEMA_OF = {
    "model/generator": schemas.GeneratorConf,
    "model/predictor": schemas.PredictorConf,
    "executor/inline": schemas.ExecutorConf,
    "executor/process_pool": schemas.ExecutorConf,
    "executor/ray": schemas.ExecutorConf,
    "trainer/single": schemas.TrainerConf,
    "trainer/ddp": schemas.TrainerConf,
    "scheduler/none": schemas.SchedulerConf,
    "scheduler/cosine": schemas.SchedulerConf,
    "scheduler/plateau": schemas.SchedulerConf,
    "tracker/all": schemas.TrackerConf,
    "tracker/wandb": schemas.TrackerConf,
}


def read(name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"), resolve=False)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def groups_of(primary: str) -> list[str]:
    """Return the config groups that the defaults of a primary configuration name."""
    named = [next(iter(entry)) for entry in read(primary)["defaults"] if isinstance(entry, dict)]
    return [name for name in named if not name.startswith(("override ", "optional "))]


def every_option() -> Iterator[tuple[str, str, str]]:
    for primary in PRIMARY:
        for group in groups_of(primary):
            for file in sorted((CONF / group).rglob("*.yaml")):
                yield primary, group, file.relative_to(CONF / group).with_suffix("").as_posix()


def kind_of(group: str, option: str) -> list[str]:
    """Return the override that an experiment's file for one of the models needs."""
    return [f"model={kind}" for kind in KINDS if group == "experiment" and option.endswith(kind)]


def test_every_group_belongs_to_a_primary_configuration() -> None:
    folders = {path.name for path in CONF.iterdir() if path.is_dir()}
    assert {group for primary in PRIMARY for group in groups_of(primary)} == folders - {"hydra", "local"}
    assert {path.stem for path in CONF.glob("*.yaml")} == set(PRIMARY)


@pytest.mark.parametrize(("primary", "group", "option"), list(every_option()))
def test_every_option_composes(primary: str, group: str, option: str) -> None:
    cfg = compose(primary, [f"{group}={option}", *kind_of(group, option)])
    assert plain(cfg)["task_name"] == primary.replace("_", "-")


@pytest.mark.parametrize("primary", PRIMARY)
def test_the_logging_options_are_in_use(primary: str) -> None:
    files = {f"hydra/{path.parent.name}: {path.stem}" for path in (CONF / "hydra").rglob("*.yaml")}
    used = {
        f"{key.removeprefix('override ')}: {value}"
        for e in read(primary)["defaults"]
        if isinstance(e, dict)
        for key, value in e.items()
    }
    assert files <= used


@pytest.mark.parametrize(("name", "schema"), [*PRIMARY.items(), *SCHEMA_OF.items()])
def test_schema_and_file_have_the_same_keys(name: str, schema: Any) -> None:
    content = read(name)
    groups = set(groups_of(name)) if name in PRIMARY else set()
    assert set(content) - {"defaults", "hydra"} == {entry.name for entry in fields(schema)} - groups


@pytest.mark.parametrize("primary", PRIMARY)
def test_every_value_is_given(primary: str) -> None:
    assert not OmegaConf.missing_keys(compose(primary, []))


def test_the_command_line_beats_the_experiment_beats_the_file() -> None:
    base = compose("train", ["model=predictor"])
    experiment = ["model=predictor", "experiment=demo/predictor"]
    chosen = compose("train", experiment)
    mine = compose("train", [*experiment, "images_per_class=3", "model.hidden=7", "schedule.epochs=1"])
    for key, value in {"images_per_class": 3, "model.hidden": 7, "schedule.epochs": 1}.items():
        by_file, by_experiment, by_me = (OmegaConf.select(cfg, key) for cfg in (base, chosen, mine))
        assert len({by_file, by_experiment, by_me}) == 3, key
        assert by_me == value
        assert OmegaConf.select(OmegaConf.load(CONF / "experiment/demo/predictor.yaml"), key) == by_experiment
    assert base.batch_size == chosen.batch_size == mine.batch_size
    # What debug asks for is small whatever the experiment says.
    assert compose("train", [*experiment, "debug=limit"]).schedule.epochs == 2


def test_an_experiment_can_choose_options_and_the_command_line_others() -> None:
    paper = ["model=predictor", "experiment=paper/nasbench201/predictor"]
    assert compose("train", paper).optimizer["_target_"] == "torch.optim.Adam"
    assert compose("train", [*paper, "optimizer=sgd"]).optimizer["_target_"] == "torch.optim.SGD"


@pytest.mark.parametrize("name", options("recipe"))
def test_every_recipe_is_one(name: str) -> None:
    values = plain(compose("build_database", [f"recipe={name}"]).recipe)
    recipe = Recipe.from_dict(values)
    assert recipe.name == name
    assert recipe.to_dict() == values, "the file leaves fields to their defaults; write them down"


@pytest.mark.parametrize("name", options("tracker"))
def test_every_tracker_option_makes_trackers(name: str) -> None:
    tracker = plain(compose("train", [f"tracker={name}"]).tracker)
    made = make_trackers(tracker["names"], **tracker["options"])
    assert len(made.members) == len(tracker["names"])


@pytest.mark.parametrize("optimizer", options("optimizer"))
@pytest.mark.parametrize("scheduler", options("scheduler"))
def test_every_optimizer_takes_every_schedule(optimizer: str, scheduler: str) -> None:
    cfg = compose("train", [f"optimizer={optimizer}", f"scheduler={scheduler}"])
    weights = torch.nn.Parameter(torch.ones(3))
    made = instantiate_node(cfg.optimizer, "optimizer")([weights])
    assert isinstance(made, torch.optim.Optimizer)
    assert made.param_groups[0]["lr"] <= cfg.optimizer.lr
    make = instantiate_node(cfg.scheduler.make, "scheduler.make")
    if make is not None:
        schedule = make(made, total_steps=20)
        for _ in range(20):
            weights.sum().backward()
            made.step()
            schedule.step(*([1.0] if cfg.scheduler.schedule_on == "plateau" else []))
        assert made.param_groups[0]["lr"] < cfg.optimizer.lr


@pytest.mark.parametrize("target", ["os.system", "builtins.eval", "metad2a_evil.run", "torch.load"])
def test_a_configuration_cannot_call_anything_else(target: str) -> None:
    node = OmegaConf.create({"_target_": "torch.optim.SGD", "_partial_": True, "lr": {"_target_": target}})
    with pytest.raises(ConfigError, match=f"lr.*'{target}'"):
        instantiate_node(node, "optimizer")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (name, kind)
        for name in options("experiment")
        for kind in KINDS
        if (CONF / "experiment" / name / f"{kind}.yaml").is_file()
    ],
)
def test_every_experiment_trains(
    name: str, kind: str, database: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    overrides = [f"model={kind}", f"experiment={name}/{kind}"]
    wanted = compose("train", overrides)
    # Everything is the experiment's own but the data and the time.
    small = [
        "space=nasbench201",
        "split=by_task",
        "embedder=pixels",
        "images=[]",
        "max_images_per_class=4",
        "schedule.epochs=1",
        "device=cpu",
        quote(f"database={database}"),
    ]
    cfg = compose("train", [*overrides, *small])
    scores = train.run(cfg, tmp_path / "run", run_id="test")
    assert ("val/pair_error" if kind == "surrogate" else wanted.model.monitor) in scores
    assert (tmp_path / "run/checkpoints/best.safetensors").is_file()


def test_every_experiment_is_there_for_both_models() -> None:
    for folder in {path.parent for path in (CONF / "experiment").rglob("*.yaml")}:
        assert {"generator", "predictor"} <= {path.stem for path in folder.glob("*.yaml")} <= set(KINDS)


@pytest.mark.parametrize(
    "text", ["plain", "a b", "it's", "a,b", "{x: 1}", "[1]", "C:\\data", "a=b", "", "'", '"a" and "b"', "1.5"]
)
def test_plain_texts_reach_the_configuration_as_they_are(text: str) -> None:
    assert compose("evaluate", [quote(f"dataset={text}")]).dataset == text


@pytest.mark.parametrize(
    ("text", "elements"),
    [
        ("[a=/x/y.npz,b]", ["a=/x/y.npz", "b"]),
        ("[tiny-imagenet=/p/x y.npz, b(1).npz]", ["tiny-imagenet=/p/x y.npz", "b(1).npz"]),
        ("[embedded:glyphs?seed=1]", ["embedded:glyphs?seed=1"]),
        ("['a, b.npz',\"it's.npz\"]", ["a, b.npz", "it's.npz"]),
        ("[it's.npz,1,null]", ["it's.npz", "1", "null"]),
        ("[C:\\data\\,~/[x]/y.npz]", ["C:\\data\\", "~/[x]/y.npz"]),
        ("[]", []),
        ("[ ]", []),
    ],
)
def test_lists_of_plain_texts_reach_the_configuration_as_they_are(text: str, elements: list[str]) -> None:
    assert compose("train", [quote(f"images={text}")]).images == elements


def test_lists_of_plain_texts_in_a_sweep() -> None:
    swept = quote("images=[a=1,b],[c=2]")
    assert compose("train", [swept], first_of_sweep=True).images == ["a=1", "b"]


def test_what_is_no_list_is_told() -> None:
    with pytest.raises(ConfigError, match="configuration key 'images'"):
        compose("train", [quote("images=a.npz")])


def test_embedders_with_options_need_no_quotes() -> None:
    reference = "timm:resnet18.a1_in1k?resolution=64&weights=/my folder/w.pth"
    for text in (f"embedder={reference}", f"embedder='{reference}'"):
        assert compose("train", [quote(text)]).embedder == reference
    swept = quote("embedder=efficientnet-lite0?resolution=96,pixels")
    assert compose("train", [swept], first_of_sweep=True).embedder == "efficientnet-lite0?resolution=96"


def test_nothing_can_be_said_of_a_text_that_may_be_absent() -> None:
    assert compose("train", [quote("init=null")]).init is None
    assert compose("train", [quote("init=my file, v2.safetensors")]).init == "my file, v2.safetensors"


def test_settings_of_this_machine_beat_the_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = shutil.copytree(CONF, tmp_path / "conf")
    (copy / "local").mkdir(exist_ok=True)
    (copy / "local/default.yaml").write_text("# @package _global_\nruns: elsewhere\nimages_per_class: 6\n")
    find: Callable[..., Path] = partial(Path.joinpath, tmp_path)
    monkeypatch.setattr(configuration, "shipped", find)
    cfg: DictConfig = compose("train", ["model=generator", "experiment=demo/generator"])
    assert (cfg.runs, cfg.images_per_class) == ("elsewhere", 6)
