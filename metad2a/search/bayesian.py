"""Bayesian optimisation: a Gaussian process of the values, and what it expects to gain."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Unpack

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from metad2a.errors import ConfigError
from metad2a.search.model_based import ModelBased, ModelOptions, one_hot
from metad2a.spaces.base import SearchSpace

_ACQUISITIONS = ("ei", "ucb")


class BayesianOptimization(ModelBased):
    """Asks for the largest expected improvement, or upper confidence bound, of a Gaussian process.

    The process has a constant mean and a squared exponential kernel of the one-hot decisions, whose length, scale
    and noise maximise the posterior (botorch's fit). Of several that are asked for at once each is chosen as if
    those before had the values that the process expects. See ``ModelBased`` for the other arguments and the
    errors.

    Args:
        space: what is searched.
        acquisition: ``ei`` or ``ucb``.
        kappa: of ``ucb``: standard deviations above the mean.
        options: see ``ModelOptions``.

    Raises:
        ConfigError: an option cannot be used, or botorch is not installed.
    """

    stream = "bayesian"

    def __init__(
        self,
        space: SearchSpace,
        *,
        acquisition: str = "ei",
        kappa: float = 2.0,
        **options: Unpack[ModelOptions],
    ) -> None:
        if acquisition not in _ACQUISITIONS:
            raise ConfigError(f"bayesian: acquisition='{acquisition}'. Choose one of {', '.join(_ACQUISITIONS)}.")
        if kappa < 0:
            raise ConfigError(f"bayesian: kappa={kappa}. Give a number that is not negative.")
        _check_installed()
        super().__init__(space, **options)
        self._acquisition, self._kappa = acquisition, kappa

    def _fit(self, x: Float[np.ndarray, "V F"], values: Float[np.ndarray, " V"]) -> dict[str, Any]:
        """Return the parameters of the process, which itself takes all values that are known."""
        from botorch.fit import fit_gpytorch_mll
        from gpytorch.mlls import ExactMarginalLogLikelihood

        with _quiet(self._fit_seed(len(x))):
            model = _process(torch.from_numpy(x), _standard(values))
            fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
        parameters: dict[str, Any] = model.state_dict()
        return parameters

    def _scores(self, model: Any, candidates: Float[np.ndarray, "A F"]) -> Float[np.ndarray, " A"]:
        archs, values = self._told(len(self._values))
        x, y = torch.from_numpy(one_hot(self._space, archs)), _standard(values)
        with _quiet(0), torch.no_grad():
            process = _process(x, y, model)
            if self._pending:
                ahead = torch.from_numpy(one_hot(self._space, list(self._pending)))
                believed = process.posterior(ahead).mean
                process = _process(torch.cat([x, ahead]), torch.cat([y, believed]), model)
            return self._gain(process, y)(torch.from_numpy(candidates)[:, None]).numpy()

    def _gain(self, process: Any, y: Float64[Tensor, "V 1"]) -> Any:
        from botorch.acquisition import LogExpectedImprovement, UpperConfidenceBound

        if self._acquisition == "ucb":
            return UpperConfidenceBound(process, beta=self._kappa**2)
        return LogExpectedImprovement(process, best_f=y.max())


def _check_installed() -> None:
    try:
        import botorch  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"the searcher 'bayesian' needs botorch, which cannot be imported ({error}): pip install 'metad2a[bo]'."
        ) from error


@contextmanager
def _quiet(seed: int) -> Iterator[None]:
    """Leave torch's global stream alone, and be silent."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # botorch would rather scale and standardise by itself
        torch.manual_seed(seed)  # fits that fail are tried again from random parameters
        yield


def _standard(values: Float[np.ndarray, " V"]) -> Float64[Tensor, "V 1"]:
    return torch.from_numpy((values - values.mean()) / max(values.std(), 1e-9))[:, None]


def _process(x: Float64[Tensor, "V F"], y: Float64[Tensor, "V 1"], parameters: dict[str, Any] | None = None) -> Any:
    from botorch.models import SingleTaskGP
    from gpytorch.kernels import RBFKernel, ScaleKernel
    from gpytorch.priors import GammaPrior

    kernel = ScaleKernel(RBFKernel(lengthscale_prior=GammaPrior(3.0, 2.0)), outputscale_prior=GammaPrior(2.0, 0.15))
    model = SingleTaskGP(x, y, covar_module=kernel, outcome_transform=None)
    if parameters is not None:
        model.load_state_dict(parameters)
    return model.eval()
