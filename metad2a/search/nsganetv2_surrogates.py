"""The surrogates of NSGANetV2: what predicts the error of an architecture from its decisions."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from metad2a.runtime import stream_seed
from metad2a.spaces.base import Architecture
from metad2a.spaces.product import ProductSpace

Features = Float[np.ndarray, "V F"]
Values = Float[np.ndarray, " V"]
Fitted = Callable[[Features], Values]
FOLDS = 10
_TREES, _TREES_OF_A_FOLD = 100, 20
_TREE_FEATURES = 0.7  # share of the features that a tree sees
_EPOCHS = 2000
_FLAT = 1e-9


@dataclass(frozen=True)
class Kind:
    """One kind of surrogate.

    Attributes:
        fit: learns values from features; the seed decides its draws, the last argument is what ``tune`` found.
        tune: finds, from all values, what need not be found again in each fold of a validation.
    """

    fit: Callable[[Features, Values, int, Any], Fitted]
    tune: Callable[[Features, Values], Any] = lambda _x, _values: None


# --- codings --------------------------------------------------------------------------------------------------


def ordinal(space: ProductSpace, archs: Sequence[Architecture]) -> Float[np.ndarray, "A D"]:
    """Return the decisions as numbers from one; zero where the network does not depend on it."""
    return (space.choices(archs) + 1.0) * space.used(archs)


def one_hot_used(space: ProductSpace, archs: Sequence[Architecture]) -> Float[np.ndarray, "A F"]:
    """Return the decisions as zeros and ones; all zeros where the network does not depend on it."""
    table, used = space.choices(archs), space.used(archs)
    columns = [np.eye(count)[table[:, i]] * used[:, i, None] for i, count in enumerate(space.options)]
    return np.concatenate(columns, axis=1)


CODINGS = {"ordinal": ordinal, "one_hot": one_hot_used}

# --- kinds ----------------------------------------------------------------------------------------------------


def _rbf(x: Features, values: Values, _seed: int, _tuned: Any) -> Fitted:
    """Interpolate with cubic radial basis functions and a linear tail, in the directions in which ``x`` varies."""
    from scipy.interpolate import RBFInterpolator

    rows, means = _distinct(x, values)
    middle = rows.mean(axis=0)
    _, sizes, directions = np.linalg.svd(rows - middle, full_matrices=False)
    turned = directions[sizes > _FLAT * max(1.0, sizes[0])].T
    if not turned.shape[1]:
        return lambda query: np.full(len(query), means.mean())
    found = RBFInterpolator((rows - middle) @ turned, means, kernel="cubic", degree=1)
    return lambda query: found((query - middle) @ turned)


def _tune_gp(x: Features, values: Values) -> Any:
    return _process(x, values, None).kernel_


def _gp(x: Features, values: Values, _seed: int, kernel: Any) -> Fitted:
    """Fit a linear trend, and what it leaves with a Gaussian process of squared exponential kernel."""
    process = _process(x, values, kernel)
    trend, spread = _trend(x, values)
    return lambda query: trend.predict(query) + spread * process.predict(query)


def _process(x: Features, values: Values, kernel: Any) -> Any:
    """Return the process of what the trend leaves; its kernel is fitted where none is given."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

    trend, spread = _trend(x, values)
    start = ConstantKernel() * RBF(np.sqrt(x.shape[1] / 2), (0.1, 1e3)) + WhiteKernel(0.1, (1e-4, 10.0))
    process = GaussianProcessRegressor(kernel or start, optimizer="fmin_l_bfgs_b" if kernel is None else None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a parameter at its bound is good enough
        return process.fit(x, (values - trend.predict(x)) / spread)


def _trend(x: Features, values: Values) -> tuple[Any, float]:
    from sklearn.linear_model import Ridge

    trend = Ridge(alpha=1.0).fit(x, values)
    return trend, max(float((values - trend.predict(x)).std()), _FLAT)


def _carts(x: Features, values: Values, seed: int, trees: int | None) -> Fitted:
    """Average unpruned regression trees, each of which sees some of the features; fewer in a validation."""
    from sklearn.tree import DecisionTreeRegressor

    rng = np.random.default_rng(seed)
    seen = max(1, round(_TREE_FEATURES * x.shape[1]))
    targets = np.ascontiguousarray(values[:, None])
    grown = []
    for _ in range(trees or _TREES):
        columns = rng.choice(x.shape[1], seen, replace=False)
        tree = DecisionTreeRegressor(random_state=int(rng.integers(2**31)))
        # What sklearn would check for each tree is so: 32-bit features, one row after the other.
        rows = np.ascontiguousarray(x[:, columns], dtype=np.float32)
        grown.append((columns, tree.fit(rows, targets, check_input=False)))

    def predict(query: Features) -> Values:
        small = query.astype(np.float32)
        return np.mean([tree.predict(small[:, columns]) for columns, tree in grown], axis=0)

    return predict


def _mlp(x: Features, values: Values, seed: int, _tuned: Any) -> Fitted:
    """Train three layers of 300 with dropout and keep the weights that do best on a fifth of the values."""
    middle, spread = float(values.mean()), max(float(values.std()), _FLAT)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(x))
    held = order[: max(1, len(x) // 5)]
    rest = order[len(held) :] if len(x) > 1 else order
    inputs = torch.from_numpy(x).float()
    targets = torch.from_numpy((values - middle) / spread).float()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = _train_mlp(inputs, targets, rest, held)

    @torch.no_grad()
    def predict(query: Features) -> Values:
        return middle + spread * net(torch.from_numpy(query).float())[:, 0].double().numpy()

    return predict


def _train_mlp(inputs: Tensor, targets: Tensor, rest: np.ndarray, held: np.ndarray) -> nn.Module:
    widths = (inputs.shape[1], 300, 300, 300)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    net = nn.Sequential(*layers, nn.Dropout(0.2), nn.Linear(widths[-1], 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=8e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _EPOCHS)
    loss = nn.SmoothL1Loss()
    best, kept = float("inf"), net.state_dict()
    for _ in range(_EPOCHS):
        net.train()
        optimizer.zero_grad()
        loss(net(inputs[rest])[:, 0], targets[rest]).backward()
        optimizer.step()
        schedule.step()
        net.eval()
        with torch.no_grad():
            reached = float(loss(net(inputs[held])[:, 0], targets[held]))
        if reached < best:
            best, kept = reached, {name: value.clone() for name, value in net.state_dict().items()}
    net.load_state_dict(kept)
    return net.eval()


def _distinct(x: Features, values: Values) -> tuple[Float[np.ndarray, "W F"], Float[np.ndarray, " W"]]:
    """Return the distinct rows and the mean value of each: an interpolation cannot take one twice."""
    rows, place, counts = np.unique(x, axis=0, return_inverse=True, return_counts=True)
    return rows, np.bincount(place.ravel(), weights=values) / counts


KINDS = {
    "rbf": Kind(_rbf),
    "gp": Kind(_gp, _tune_gp),
    "carts": Kind(_carts, lambda _x, _values: _TREES_OF_A_FOLD),
    "mlp": Kind(_mlp),
}
SWITCHED = ("rbf", "gp", "carts")
"""Kinds that adaptive switching chooses among."""

# --- choice ---------------------------------------------------------------------------------------------------


def cross_validate(kind: Kind, x: Features, values: Values, seed: int) -> Float64[np.ndarray, " folds"]:
    """Return Kendall's tau of the predictions on each of ten parts that were left out (fewer of few values)."""
    from scipy.stats import kendalltau

    tuned = kind.tune(x, values)
    order = np.random.default_rng(seed).permutation(len(x))
    taus = []
    for part in np.array_split(order, min(FOLDS, len(x) // 3)):
        rest = np.setdiff1d(order, part)
        found = kind.fit(x[rest], values[rest], seed, tuned)(x[part])
        taus.append(kendalltau(found, values[part]).statistic)
    return np.nan_to_num(np.array(taus))  # where all are equal there is no order


def choose(
    space: ProductSpace,
    archs: Sequence[Architecture],
    values: Values,
    *,
    kinds: Sequence[str],
    codings: Sequence[str],
    seed: int,
) -> tuple[str, Callable[[Sequence[Architecture]], Values]]:
    """Fit the kind and coding whose mean tau less its standard deviation is highest (adaptive switching).

    Args:
        space: of the architectures.
        archs: that were evaluated.
        values: their errors.
        kinds: names in ``KINDS``.
        codings: names in ``CODINGS``. Trees read ones and zeros wherever that is one of several.
        seed: of all draws.

    Returns:
        Kind and coding in words, and the function from architectures to errors.
    """
    coded = {name: CODINGS[name](space, archs) for name in codings}
    pairs = [(kind, coding) for kind in kinds for coding in codings]
    if len(codings) > 1:
        pairs = [pair for pair in pairs if pair != ("carts", "ordinal")]
    seeds = {pair: stream_seed(seed, *pair) % 2**32 for pair in pairs}
    best = pairs[0]
    if len(pairs) > 1 and len(archs) >= 2 * FOLDS:

        def worth(pair: tuple[str, str]) -> float:
            taus = cross_validate(KINDS[pair[0]], coded[pair[1]], values, seeds[pair])
            return float(taus.mean() - taus.std())

        best = max(pairs, key=worth)
    kind, coding = KINDS[best[0]], coded[best[1]]
    fitted = kind.fit(coding, values, seeds[best], None)
    return f"{best[0]}, {best[1]}", lambda queried: fitted(CODINGS[best[1]](space, queried))
