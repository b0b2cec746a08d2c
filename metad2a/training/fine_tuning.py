"""Meta-training that goes on from weights of an earlier one."""

import torch

from metad2a.errors import CheckpointError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor


def check_init(checkpoint: Checkpoint, kind: str, *, name: str, space: str, embedder_fingerprint: str) -> None:
    """Refuse a checkpoint whose ``kind`` of model cannot be trained further on these data.

    Args:
        checkpoint: to start from.
        kind: ``generator`` or ``predictor``.
        name: of the checkpoint, for the message.
        space: name of the data's search space.
        embedder_fingerprint: of the data's features.

    Raises:
        CheckpointError: it holds no such model, or is of another search space or embedder.
    """
    if kind not in checkpoint.parts:
        held = " and ".join(f"a {part}" for part in checkpoint.parts) or "no model"
        raise CheckpointError(f"{name} holds {held}, but a {kind} is needed. Give a {kind}'s checkpoint.")
    try:
        checkpoint.check(space=space, embedder_fingerprint=embedder_fingerprint)
    except CheckpointError as error:
        raise CheckpointError(f"{name}: {error}") from error


def initial_model(checkpoint: Checkpoint, kind: str, target: tuple[float, float] | None) -> Generator | Predictor:
    """Return the model of ``checkpoint`` to train further.

    A predictor's scores are standardised accuracies: its last layer is rescaled, so that it predicts the same
    percentages as before by the standardisation that it is trained on now.

    Args:
        checkpoint: of an earlier training.
        kind: which of its models.
        target: mean and scale of the accuracies now; None for a generator.
    """
    model: Generator | Predictor = checkpoint.build(kind)
    if isinstance(model, Predictor) and target is not None and checkpoint.target is not None:
        mean, scale = target
        old = checkpoint.target
        with torch.no_grad():
            model.out.weight.mul_(old["std"] / scale)
            model.out.bias.mul_(old["std"] / scale).add_((old["mean"] - mean) / scale)
    return model
