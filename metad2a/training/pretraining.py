"""Training a predictor's graph encoder without labels, on the architectures of the whole space."""

import logging
from collections.abc import Iterator, Mapping

import torch
from jaxtyping import Float
from lightning_fabric import Fabric
from torch import Tensor, nn

from metad2a.fitting.loop import Fit
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.predictor import Predictor
from metad2a.runtime import numpy_rng, stream_seed, torch_rng
from metad2a.spaces.base import ArchBatch

_log = logging.getLogger(__name__)
_MOST = 20_000  # architectures; of a larger space so many are drawn
_BATCH = 256
_LEARNING_RATE = 3e-3
Batch = tuple[ArchBatch, Float[Tensor, "B D"]]


class _Reader(nn.Module):
    """Tells the features of an architecture from what the graph encoder makes of it."""

    def __init__(self, encoder: nn.Module, hidden: int, features: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.out = nn.Linear(hidden, features)

    def forward(self, archs: ArchBatch) -> Float[Tensor, "B D"]:
        return self.out(self.encoder(archs))


def pretrain(
    model: Predictor, features: ArchFeatures, *, epochs: int, seed: int, device: str | torch.device = "cpu"
) -> float:
    """Train the graph encoder of ``model`` to tell what ``ArchFeatures`` say; return how much of that it explains.

    These are known without any training of a network: decisions and pairs of them, size, data-free scores, the same
    for architectures that compute the same. 1 is everything, 0 nothing more than their means.

    Args:
        model: its graph encoder is changed in place.
        features: of the space; all its architectures are used, or 20,000 that are drawn.
        epochs: passes over them.
        seed: of the draws.
        device: where to train.

    Raises:
        DivergedError: the loss was not finite three times in a row.
    """
    space = features.space
    few = space.listable and space.size <= _MOST
    archs = list(space.enumerate()) if few else space.sample(_MOST, numpy_rng(seed, "pretrain", "archs"))
    graphs, wanted = space.encode(archs), torch.from_numpy(features.matrix(archs))
    wanted = wanted - wanted.mean(0)
    wanted /= wanted.square().mean().sqrt().clamp_min(1e-6)  # to predict the means is an error of 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed(seed, "pretrain", "init"))
        reader = _Reader(model.graph_encoder, int(model.config["hidden"]), wanted.shape[1])
    fabric = Fabric(accelerator=torch.device(device).type, devices=1)
    optimizer = torch.optim.Adam(reader.parameters(), lr=_LEARNING_RATE)
    steps = -(-len(archs) // _BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * steps)
    learner, optimizer = fabric.setup(reader, optimizer)

    def batches(epoch: int) -> Iterator[Batch]:
        order = torch.randperm(len(archs), generator=torch_rng(seed, "pretrain", epoch))
        for rows in order.split(_BATCH):
            yield graphs[rows].to(fabric.device), wanted[rows].to(fabric.device)

    state = Fit(
        fabric=fabric,
        model=learner,
        optimizer=optimizer,
        batches=batches,
        loss=_loss,
        epochs=epochs,
        batches_per_epoch=steps,
        scheduler=schedule,
        schedule_on="step",
        label="pre-train graph encoder",
    ).run()
    explained = 1.0 - float(state.history[-1]["train/loss"])
    _log.info(
        "pre-training: the graph encoder tells %.1f %% of the features of %s architectures",
        100 * explained,
        f"{len(archs):,}",
    )
    return explained


def _loss(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    archs, wanted = batch
    return {"loss": (model(archs) - wanted).square().mean()}
