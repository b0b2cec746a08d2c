"""An ensemble of predictors, each of which is believed in turn (BANANAS)."""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
from jaxtyping import Float

from metad2a.errors import ConfigError
from metad2a.search.model_based import ModelBased, ModelOptions
from metad2a.spaces.base import SearchSpace


class Bananas(ModelBased):
    """Asks for what is best by one draw from each candidate's predicted distribution.

    White, Neiswanger and Savani, "BANANAS: Bayesian Optimization with Neural Architectures for Neural Architecture
    Search", AAAI 2021: an ensemble of predictors, independent Thompson sampling (a value is drawn for every
    candidate from the normal distribution with the mean and the deviation of the members), and mutations of the
    best as candidates. The predictors read one-hot decisions, not paths, so that every space can be searched. See
    ``ModelBased`` for the other arguments and the errors.

    Args:
        space: what is searched.
        member: ``mlp`` (small networks, each from other weights), or ``ridge`` (regression on decisions and pairs
            of them, each on a bootstrap sample): three times as fast, and worse.
        members: of the ensemble.
        options: see ``ModelOptions``.

    Raises:
        ConfigError: an option cannot be used.
    """

    stream = "bananas"

    def __init__(
        self,
        space: SearchSpace,
        *,
        member: str = "mlp",
        members: int = 5,
        **options: Unpack[ModelOptions],
    ) -> None:
        if member not in _MEMBERS:
            raise ConfigError(f"bananas: member='{member}'. Choose one of {', '.join(_MEMBERS)}.")
        if members < 2:
            raise ConfigError(f"bananas: members={members}. An ensemble has at least 2.")
        super().__init__(space, **options)
        self._member, self._members = member, members

    def _fit(self, x: Float[np.ndarray, "V F"], values: Float[np.ndarray, " V"]) -> Any:
        y = (values - values.mean()) / max(values.std(), 1e-9)
        seeds = [self._fit_seed(len(x), member) % 2**32 for member in range(self._members)]
        return [_MEMBERS[self._member](x, y, seed) for seed in seeds]

    def _scores(self, model: Any, candidates: Float[np.ndarray, "A F"]) -> Float[np.ndarray, " A"]:
        predicted = np.stack([member.predict(candidates) for member in model])
        return predicted.mean(0) + predicted.std(0, ddof=1) * self._rng.standard_normal(len(candidates))


Features = Float[np.ndarray, "V F"]
Values = Float[np.ndarray, " V"]


def _mlp(x: Features, y: Values, seed: int) -> Any:
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPRegressor

    net = MLPRegressor(
        hidden_layer_sizes=(20, 20, 20),
        learning_rate_init=0.01,
        batch_size=min(32, len(x)),
        max_iter=100,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return net.fit(x, y)


def _ridge(x: Features, y: Values, seed: int) -> Any:
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures

    rows = np.random.default_rng(seed).integers(len(x), size=len(x))
    pairs = PolynomialFeatures(2, interaction_only=True, include_bias=False)
    return make_pipeline(pairs, Ridge(alpha=1.0)).fit(x[rows], y[rows])


_MEMBERS: dict[str, Callable[[Features, Values, int], Any]] = {"mlp": _mlp, "ridge": _ridge}
