"""Whether something has drawn from the global random streams, for conformance tests."""

import random
from typing import Any

import numpy as np
import torch


def global_randomness() -> tuple[Any, ...]:
    """Return the states of Python's, NumPy's and torch's global streams, as values that can be compared."""
    legacy = np.random.get_state(legacy=False)["state"]
    return random.getstate(), legacy["key"].tobytes(), legacy["pos"], torch.get_rng_state().numpy().tobytes()
