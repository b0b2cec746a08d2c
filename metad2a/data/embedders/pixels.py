"""An embedder without weights: coarse colours. For tests, and to see what a backbone is worth."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from metad2a.data.embedders.base import Embedder

CELLS = 8


class Pixels(Embedder):
    """The mean colours of an 8 x 8 grid, scaled to about -2..2."""

    name = "pixels"
    dim = CELLS * CELLS * 3
    resolution = 32
    fingerprint = "pixels-32-v1"

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        """Return the float32 features of RGB ``images`` of ``resolution`` pixels a side, on the CPU."""
        side = self.resolution // CELLS
        means = images.reshape(-1, CELLS, side, CELLS, side, 3).mean((2, 4), dtype=np.float32)
        return torch.from_numpy((means.reshape(-1, self.dim) - 127) / 64)
