"""The types of every configuration value; Hydra refuses what does not fit. The values are in conf/ alone."""

from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING


@dataclass
class GeneratorConf:
    """Values of model=generator."""

    kind: str = MISSING
    monitor: str = MISSING
    mode: str = MISSING
    hidden: int = MISSING
    latent: int = MISSING
    num_heads: int = MISSING
    normalize: bool = MISSING
    constrained: bool = MISSING
    beta: float = MISSING
    eps_scale: float = MISSING
    condition: list[str] = MISSING


@dataclass
class PredictorConf:
    """Values of model=predictor."""

    kind: str = MISSING
    monitor: str = MISSING
    mode: str = MISSING
    hidden: int = MISSING
    latent: int = MISSING
    num_heads: int = MISSING
    normalize: bool = MISSING
    target_scale: float = MISSING
    target: str = MISSING
    loss: str = MISSING
    label: str = MISSING
    graph_encoder: str = MISSING
    arch_features: bool = MISSING
    pretrain_epochs: int = MISSING


@dataclass
class SurrogateConf:
    """Values of model=surrogate."""

    kind: str = MISSING
    label: str = MISSING
    rho: float = MISSING
    sigma: float = MISSING
    tau: float | None = MISSING


@dataclass
class ScheduleConf:
    """How long a meta-model is trained."""

    epochs: int = MISSING
    clip_norm: float | None = MISSING
    validate_every: int = MISSING
    save_every: int = MISSING


@dataclass
class TrackerConf:
    """Which trackers, and the options of each by its name."""

    names: list[str] = MISSING
    options: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass
class SchedulerConf:
    """Learning-rate schedule: when it steps, and what makes it."""

    schedule_on: str = MISSING
    make: Any = None


@dataclass
class TrainerConf:
    """How many processes train together: a number or ``auto``."""

    devices: Any = MISSING


@dataclass
class TrainConf:
    """metad2a train."""

    task_name: str = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    embedder: str = MISSING
    space: str | None = MISSING
    database: str = MISSING
    label_recipe: str | None = MISSING
    more_databases: list[str] = MISSING
    images: list[str] = MISSING
    max_images_per_class: int = MISSING
    images_per_class: int = MISSING
    generator_share: float = MISSING
    teacher: str | None = MISSING
    teacher_share: float = MISSING
    teacher_archs: int = MISSING
    split: str = MISSING
    valid_fraction: float = MISSING
    batch_size: int = MISSING
    reduction: str = MISSING
    init: str | None = MISSING
    note: str = MISSING
    schedule: ScheduleConf = field(default_factory=ScheduleConf)
    model: Any = None
    optimizer: dict[str, Any] = field(default_factory=dict)
    scheduler: SchedulerConf = field(default_factory=SchedulerConf)
    trainer: TrainerConf = field(default_factory=TrainerConf)
    tracker: TrackerConf = field(default_factory=TrackerConf)
    runs: str = MISSING


@dataclass
class WantConf:
    """What a generator with conditions aims at; null leaves it to the generator."""

    accuracy: float | None = MISSING
    flops: float | None = MISSING
    params: float | None = MISSING


@dataclass
class EvaluateConf:
    """metad2a evaluate."""

    task_name: str = MISSING
    dataset: str = MISSING
    oracle: str = MISSING
    oracle_column: str = MISSING
    sample: int = MISSING
    space: str | None = MISSING
    checkpoint: Any = MISSING
    seeds: int = MISSING
    candidates: int = MISSING
    label_recipe: str = MISSING
    want: WantConf = field(default_factory=WantConf)
    constrained: bool = MISSING
    images_per_class: int = MISSING
    kept: str = MISSING
    device: str = MISSING
    json: str = MISSING
    html: str = MISSING
    runs: str = MISSING


@dataclass
class CompareConf:
    """metad2a compare."""

    task_name: str = MISSING
    methods: list[str] = MISSING
    baseline: str = MISSING
    datasets: list[str] = MISSING
    oracles: list[str] = MISSING
    sample: int = MISSING
    cost: str = MISSING
    reference: list[float] = MISSING
    space: str | None = MISSING
    budgets: list[int] = MISSING
    seeds: int = MISSING
    batch: int = MISSING
    noise_columns: list[str] = MISSING
    noise_sd: float = MISSING
    seconds_column: str = MISSING
    checkpoint: Any = MISSING
    candidates: int = MISSING
    proxy_candidates: int = MISSING
    database: str | None = MISSING
    images_per_class: int = MISSING
    others: list[str] = MISSING
    rank_seeds: int = MISSING
    meta_validation: str = MISSING
    split: str = MISSING
    images: list[str] = MISSING
    max_images_per_class: int = MISSING
    processes: int = MISSING
    kept: str = MISSING
    device: str = MISSING
    json: str = MISSING
    csv: str = MISSING
    svg: str = MISSING
    drawn: list[str] = MISSING
    volume_svg: str = MISSING
    html: str = MISSING
    runs: str = MISSING


@dataclass
class ExecutorConf:
    """Who does the labelling."""

    kind: str = MISSING
    workers: int | None = MISSING
    address: str | None = MISSING


@dataclass
class BuildDatabaseConf:
    """metad2a build-database."""

    task_name: str = MISSING
    name: str = MISSING
    out: str = MISSING
    space: str = MISSING
    archs_per_task: int = MISSING
    n: int | None = MISSING
    sizes_per_task: int = MISSING
    label_seeds: list[int] = MISSING
    repeat_fraction: float = MISSING
    seed: int = MISSING
    limit: int | None = MISSING
    retry_failed: bool = MISSING
    recipe: dict[str, Any] = field(default_factory=dict)
    executor: ExecutorConf = field(default_factory=ExecutorConf)
    label_source: dict[str, dict[str, Any]] = field(default_factory=dict)  # parts, see LabelSource
    runs: str = MISSING


@dataclass
class TrainSupernetConf:
    """metad2a train supernet."""

    task_name: str = MISSING
    dataset: str = MISSING
    valid_fraction: float = MISSING
    drawn: int = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    note: str = MISSING
    recipe: dict[str, Any] = field(default_factory=dict)
    tracker: TrackerConf = field(default_factory=TrackerConf)
    runs: str = MISSING


@dataclass
class FitNetworkConf:
    """metad2a fit-network."""

    task_name: str = MISSING
    arch: str = MISSING
    space: str = MISSING
    dataset: str = MISSING
    test: str = MISSING
    init: str = MISSING
    valid_fraction: float = MISSING
    test_fraction: float = MISSING
    split_seed: int = MISSING
    seed: int = MISSING
    device: str = MISSING
    precision: str = MISSING
    json: str = MISSING
    recipe: dict[str, Any] = field(default_factory=dict)
    tracker: TrackerConf = field(default_factory=TrackerConf)
    runs: str = MISSING


def register() -> None:
    """Make the schemas known to Hydra."""
    store = ConfigStore.instance()
    store.store(name="base_train", node=TrainConf)
    store.store(name="base_evaluate", node=EvaluateConf)
    store.store(name="base_compare", node=CompareConf)
    store.store(name="base_build_database", node=BuildDatabaseConf)
    store.store(name="base_fit_network", node=FitNetworkConf)
    store.store(name="base_train_supernet", node=TrainSupernetConf)
    store.store(group="model", name="base_generator", node=GeneratorConf)
    store.store(group="model", name="base_predictor", node=PredictorConf)
    store.store(group="model", name="base_surrogate", node=SurrogateConf)
