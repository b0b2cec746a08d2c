"""What an oracle is: the place where true accuracies come from."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float

from metad2a.spaces.base import Architecture


@runtime_checkable
class Oracle(Protocol):
    """Knows, or finds out, how good architectures really are; ``metad2a.testing.oracles`` checks the rules."""

    name: str

    def evaluate(self, archs: Sequence[Architecture], *, seed: int = 0) -> Float[np.ndarray, " A"]:
        """Return accuracies in percent; NaN where the evaluation failed."""
