"""Learning-rate schedules, all built from ``(optimizer, total_steps=...)``."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau


def cosine(optimizer: Optimizer, *, total_steps: int, warmup: float = 0.05) -> LambdaLR:
    """Rise linearly over the share ``warmup`` of the steps, then fall to 0 along half a cosine."""
    rising = max(1, round(warmup * total_steps)) if warmup else 0

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / (rising + 1)
        return 0.5 * (1.0 + math.cos(math.pi * (step - rising) / max(1, total_steps - rising)))

    return LambdaLR(optimizer, factor)


def plateau(
    optimizer: Optimizer, *, total_steps: int, factor: float = 0.1, patience: int = 10
) -> ReduceLROnPlateau:
    """Multiply by ``factor`` when the loss has not fallen for ``patience`` epochs (``total_steps`` is unused)."""
    return ReduceLROnPlateau(optimizer, "min", factor=factor, patience=patience)
