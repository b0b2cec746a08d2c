"""The types of every configuration value; Hydra refuses what does not fit. YAML in conf/ holds the values."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore


@dataclass
class GeneratorConf:
    """Values of model=generator."""

    kind: str = "generator"
    monitor: str = "val/recon_nll"
    mode: str = "min"
    hidden: int = 56
    latent: int = 56
    num_heads: int = 4
    normalize: bool = True
    constrained: bool = True
    beta: float = 0.005
    eps_scale: float = 0.01


@dataclass
class PredictorConf:
    """Values of model=predictor."""

    kind: str = "predictor"
    monitor: str = "val/spearman"
    mode: str = "max"
    hidden: int = 128
    latent: int = 56
    num_heads: int = 4
    normalize: bool = True
    target_scale: float = 1.0


@dataclass
class ScheduleConf:
    """How long a meta-model is trained."""

    epochs: int = 100
    clip_norm: float | None = 1.0
    validate_every: int = 1
    save_every: int = 1


@dataclass
class TrackerConf:
    """Which trackers, and the options of Weights & Biases."""

    names: list[str] = field(default_factory=lambda: ["local"])
    wandb: dict[str, Any] = field(default_factory=dict)


@dataclass
class SchedulerConf:
    """Learning-rate schedule: when it steps, and what makes it."""

    schedule_on: str = "epoch"
    make: Any = None


@dataclass
class TrainConf:
    """metad2a train."""

    task_name: str = "train"
    seed: int = 0
    device: str = "auto"
    precision: str = "auto"
    embedder: str = "efficientnet-lite0"
    space: str = "nasbench201"
    database: str = "demo"
    images: list[str] = field(default_factory=list)
    max_images_per_class: int = 200
    images_per_class: int = 20
    generator_share: float = 0.5
    split: str = "by_task"
    valid_fraction: float = 0.2
    batch_size: int = 32
    reduction: str = "mean"
    note: str = ""
    schedule: ScheduleConf = field(default_factory=ScheduleConf)
    model: Any = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: SchedulerConf = field(default_factory=SchedulerConf)
    tracker: TrackerConf = field(default_factory=TrackerConf)
    runs: str = "runs"


@dataclass
class EvaluateConf:
    """metad2a evaluate."""

    task_name: str = "evaluate"
    dataset: str = "embedded:digits"
    oracle: str = ""
    oracle_column: str = ""
    checkpoint: list[str] = field(default_factory=lambda: ["nasbench201"])
    seeds: int = 10
    candidates: int = 500
    images_per_class: int = 50
    device: str = "auto"
    json: str = ""
    html: str = ""
    runs: str = "runs"


@dataclass
class LabelSourceConf:
    """Which tasks are labelled."""

    source: str = "embedded:glyphs"
    licence: str = ""
    tasks: int = 40
    classes_per_task: int = 10
    images_per_class: int = 200


@dataclass
class ExecutorConf:
    """Who does the labelling."""

    kind: str = "process_pool"
    workers: int | None = None


@dataclass
class BuildDatabaseConf:
    """metad2a build-database."""

    task_name: str = "build-database"
    name: str = "my-database"
    out: str = "my_database"
    space: str = "nasbench201"
    archs_per_task: int = 8
    label_seeds: list[int] = field(default_factory=lambda: [0])
    seed: int = 0
    limit: int | None = None
    recipe: dict[str, Any] = field(default_factory=dict)
    executor: ExecutorConf = field(default_factory=ExecutorConf)
    label_source: LabelSourceConf = field(default_factory=LabelSourceConf)
    runs: str = "runs"


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="base_train", node=TrainConf)
    store.store(name="base_evaluate", node=EvaluateConf)
    store.store(name="base_build_database", node=BuildDatabaseConf)
    store.store(group="model", name="base_generator", node=GeneratorConf)
    store.store(group="model", name="base_predictor", node=PredictorConf)
