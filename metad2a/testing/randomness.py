"""Whether something has drawn from the global random streams, for conformance tests."""

from typing import Any

import numpy as np
import torch


def global_randomness() -> tuple[Any, ...]:
    """Return the states of NumPy's and torch's global streams, as values that can be compared.

    Python's own stream is left out: checkers of types at run time draw from it.
    """
    legacy = np.random.get_state(legacy=False)["state"]
    return legacy["key"].tobytes(), legacy["pos"], torch.get_rng_state().numpy().tobytes()
