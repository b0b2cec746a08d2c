"""The paper's experiments take the very steps of the official training, written here in plain PyTorch."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import ReduceLROnPlateau

from metad2a.cli.configuration import compose, instantiate_node
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.features import FeatureSet, SetBatch
from metad2a.fitting.loop import FitState
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.spaces.base import ArchBatch
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.tracking.base import Trackers
from metad2a.training.meta_data import MetaData
from metad2a.training.meta_train import MetaTraining, Schedule
from metad2a.training.objectives import GeneratorObjective, MetaBatch, Objective
from metad2a.training.predictor_objective import PredictorObjective

EPOCHS = 32
RATES = {"predictor": 0.1, "generator": 0.04}  # the official 1e-4 would need thousands of steps to a plateau
SMALL: dict[str, int] = {"feature_dim": 6, "num_types": 7, "num_nodes": 8, "hidden": 8, "latent": 8}
SPACE = NASBench201()


@pytest.fixture
def data(make_data: Callable[..., MetaData]) -> MetaData:
    """Records in double precision; the last batch of an epoch is a small one."""
    made = make_data(tasks=8, per_task=9, difficulty=1.0, noise=2.0)
    features: FeatureSet = made.features
    features.features = features.features.double()
    return replace(made, accuracy=made.accuracy.double())


def config(kind: str) -> DictConfig:
    cfg = compose("train", [f"model={kind}", f"experiment=paper/nasbench201/{kind}"])
    cfg.optimizer.lr = RATES[kind]
    return cfg


def ours(
    kind: str, cfg: DictConfig, data: MetaData, folder: Path, *, epochs: int = EPOCHS
) -> tuple[FitState, Objective, Generator | Predictor, list[float]]:
    common: dict[str, Any] = {
        "data": data,
        "train_rows": data.train_rows,
        "valid_rows": data.valid_rows,
        "batch_size": cfg.batch_size,
        "images_per_class": cfg.images_per_class,
        "seed": 0,
        "reduction": cfg.reduction,
    }
    objective: Objective = (
        PredictorObjective(**common, target_scale=cfg.model.target_scale)
        if kind == "predictor"
        else GeneratorObjective(
            **common,
            latent=SMALL["latent"],
            space=SPACE,
            constrained=cfg.model.constrained,
            beta=cfg.model.beta,
            eps_scale=cfg.model.eps_scale,
            samples=8,
        )
    )
    steps: list[float] = []
    plain_loss = objective.loss

    def loss(model: Any, batch: MetaBatch) -> Any:
        losses = plain_loss(model, batch)
        steps.append(float(losses["loss"].detach()))
        return losses

    objective.loss = loss  # type: ignore[method-assign]
    training = MetaTraining(
        objective=objective,
        make_model=lambda: untrained(kind, cfg),
        make_optimizer=instantiate_node(cfg.optimizer, "optimizer"),
        make_scheduler=instantiate_node(cfg.scheduler.make, "scheduler.make"),
        schedule=Schedule(
            epochs=epochs,
            schedule_on=cfg.scheduler.schedule_on,
            clip_norm=cfg.schedule.clip_norm,
            validate_every=2,
            monitor=cfg.model.monitor,
            mode=cfg.model.mode,
        ),
        fabric=Fabric(accelerator="cpu", devices=1),
        space=SPACE,
        embedder=Pixels(),
        folder=folder,
        tracker=Trackers([]),
    )
    state = training.run()
    return state, objective, training.bare, steps


def untrained(kind: str, cfg: DictConfig) -> Generator | Predictor:
    sizes = SMALL | {"num_heads": cfg.model.num_heads, "normalize": cfg.model.normalize}
    model = Predictor(**sizes) if kind == "predictor" else Generator(**sizes)
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            values = torch.linspace(0, 40, parameter.numel()).add(number).sin() / math.sqrt(parameter.shape[-1])
            parameter.copy_(values.view_as(parameter))
    return model.double()


class Official:
    """The official training loops, on batches that are given."""

    def __init__(self, model: Any, rate: float) -> None:
        self.model = model
        self.optimizer = torch.optim.Adam(model.parameters(), lr=rate)
        self.scheduler = ReduceLROnPlateau(self.optimizer, "min", factor=0.1, patience=10)
        self.rates: list[float] = []
        self.steps: list[float] = []
        self.logged: list[float] = []

    def step(self, loss: Tensor) -> float:
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.steps.append(float(loss.detach()))
        return self.steps[-1]

    def end_epoch(self, logged: float) -> None:
        self.rates.append(self.optimizer.param_groups[0]["lr"])
        self.logged.append(logged)
        self.scheduler.step(logged)

    def train_predictor(self, epochs: Iterator[list[MetaBatch]], mean: float, std: float, records: int) -> None:
        for batches in epochs:
            total = 0.0
            for batch in batches:
                target = ((batch.accuracy - mean) / std) / 100.0
                total += self.step(F.mse_loss(self.model(batch.sets, batch.archs), target, reduction="sum"))
            self.end_epoch(total / records)

    def train_generator(self, epochs: Iterator[list[MetaBatch]]) -> None:
        for batches in epochs:
            parts = []
            for batch in batches:
                loss = self.generator_loss(batch.sets, batch.archs, batch.noise)
                parts.append(self.step(loss) / len(batch.accuracy))
            self.end_epoch(sum(parts) / len(parts))

    def generator_loss(self, sets: SetBatch, archs: ArchBatch, noise: Tensor | None) -> Tensor:
        assert noise is not None
        mu, logvar = self.model.encode(sets)
        z = mu + 0.01 * noise * torch.exp(logvar / 2)
        types, edges = self.model.decoder.log_likelihood(z, archs)
        divergence = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        return -(types.sum() + edges.sum()) + 0.005 * divergence


@pytest.mark.parametrize("kind", ["predictor", "generator"])
def test_the_paper_s_experiment_takes_the_official_steps(kind: str, data: MetaData, tmp_path: Path) -> None:
    cfg = config(kind)
    state, objective, model, steps = ours(kind, cfg, data, tmp_path)
    official = Official(untrained(kind, cfg).train(), RATES[kind])
    epochs = (list(objective.batches(epoch)) for epoch in range(EPOCHS))
    if kind == "predictor":
        accuracy = data.accuracy[data.train_rows]
        official.train_predictor(epochs, accuracy.mean().item(), accuracy.std().item(), len(accuracy))
    else:
        official.train_generator(epochs)
    assert steps == pytest.approx(official.steps, rel=1e-9)
    logged = [row["train/loss_per_record"] for row in state.history]
    assert logged == pytest.approx(official.logged, rel=1e-9)
    assert [row["lr"] for row in state.history] == pytest.approx(official.rates, rel=1e-12)
    assert len(set(official.rates)) > 1, "no plateau: nothing is said about the decisions of the scheduler"
    for name, parameter in official.model.named_parameters():
        if name.endswith("key.bias"):
            continue  # attention does not depend on it: Adam takes steps along the rounding of its gradient
        torch.testing.assert_close(model.get_parameter(name), parameter, rtol=1e-6, atol=1e-8)


def test_which_epoch_the_paper_s_experiments_keep(data: MetaData, tmp_path: Path) -> None:
    for kind, monitor in (("predictor", "val/pearson"), ("generator", "epoch")):
        assert config(kind).model.monitor == monitor
    state, *_ = ours("generator", config("generator"), data, tmp_path, epochs=3)
    assert state.best == 3
    assert Checkpoint.load(tmp_path / "best.safetensors").provenance["generator"]["epoch"] == 3


def test_the_rest_of_the_paper_s_settings() -> None:
    for kind, hidden in (("predictor", 512), ("generator", 56)):
        cfg = compose("train", [f"model={kind}", f"experiment=paper/nasbench201/{kind}"])
        assert (cfg.model.hidden, cfg.model.latent, cfg.schedule.epochs) == (hidden, 56, 400)
        assert (cfg.optimizer.lr, cfg.batch_size, cfg.images_per_class, cfg.split) == (1e-4, 32, 20, "official")
    assert cfg.generator_share == 1.0
