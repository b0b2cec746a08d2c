"""What a generator can be told to aim at: standing among the architectures of a data set, and costs."""

import math
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from metad2a.errors import ConfigError, unknown_name

ACCURACY = "accuracy"
COSTS = ("flops", "params")
CONDITIONS = (ACCURACY, *COSTS)


class Wishes(nn.Module):
    """Leads latents to what is wanted; what is not told leaves them where they are.

    An accuracy is the normal score of the architecture's rank among those of its data set, a cost a logarithm. Both
    enter standardised, beside the mark that they are told at all (as labels do that are sometimes left out in
    training: Ho and Salimans, Classifier-Free Diffusion Guidance, 2022).

    Args:
        conditions: by name (of ``CONDITIONS``) mean, standard deviation and greatest value in training.
        latent: ``Z``.

    Raises:
        ValueError: there is no such condition.
    """

    def __init__(self, conditions: Mapping[str, Sequence[float]], latent: int) -> None:
        super().__init__()
        unknown = [name for name in conditions if name not in CONDITIONS]
        if unknown:
            raise ValueError(f"unknown condition '{unknown[0]}'; known: {', '.join(CONDITIONS)}")
        self.conditions = {name: tuple(map(float, kept)) for name, kept in conditions.items()}
        self.lead = nn.Linear(2 * len(conditions), latent, bias=False)

    def told(self, want: Mapping[str, float]) -> Float[Tensor, "1 N"]:
        """Return what is wanted in the units of ``forward``.

        Args:
            want: an ``accuracy`` as the share of architectures that are to be left behind, up to 1, or a cost. What
                is not named is the best accuracy of training, and any cost.

        Raises:
            ConfigError: a value is out of range.
            UnknownNameError: it is none of the conditions.
        """
        for name, value in want.items():
            if name not in self.conditions:
                raise unknown_name("condition of the generator", name, self.conditions)
            if not (0 < value <= 1 if name == ACCURACY else 0 < value < math.inf):
                kind = "a share above 0 and up to 1" if name == ACCURACY else "a positive number"
                raise ConfigError(f"want {name}={value:g}: give {kind}.")
        row = [self._unit(name, want.get(name)) for name in self.conditions]
        return torch.tensor([row], dtype=torch.float64)

    def _unit(self, name: str, value: float | None) -> float:
        best = self.conditions[name][2]
        if name != ACCURACY:
            return math.nan if value is None else math.log(value)
        if value is None or value == 1:
            return best
        return min(best, float(torch.special.ndtri(torch.tensor(value, dtype=torch.float64))))

    def forward(self, told: Float[Tensor, "B N"]) -> Float[Tensor, "B Z"]:
        """Return by what latents are moved; NaN is not told."""
        mean, std, _ = told.new_tensor(list(self.conditions.values())).T
        given = ~told.isnan()
        standard = ((told - mean) / std).masked_fill(~given, 0.0)
        weight = self.lead.weight
        return self.lead(torch.cat([standard, given.to(standard)], dim=1).to(weight))
