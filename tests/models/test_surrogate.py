import numpy as np
import pytest
import torch

from metad2a.models.surrogate import _OFFSET, Surrogate
from metad2a.runtime import torch_rng


def surrogate(rows: int = 12, **changes: float) -> Surrogate:
    rng = torch_rng("surrogate")
    hyper = {
        "rho": 0.8,
        "sigma": 0.0,
        "length": 0.7,
        "scale": 0.3,
        "noise": 0.2,
        "target_mean": 70.0,
        "target_std": 5.0,
    } | changes
    model = Surrogate(num_rows=rows, num_tasks=3, arch_dim=4, feature_dim=6, set_dim=2, **hyper)
    model.load_state_dict(
        {
            "features": torch.randn(rows, 4, generator=rng),
            "targets": torch.randn(rows, generator=rng),
            "counts": torch.randint(1, 3, (rows,), generator=rng).float(),
            "task_of": (torch.arange(rows) % 3).int(),
            "sets": torch.randn(3, 2, generator=rng),
            "source_of": torch.zeros(3).int(),
            "set_mean": torch.randn(6, generator=rng),
            "set_axes": torch.randn(2, 6, generator=rng),
        }
    )
    return model


def covariance(model: Surrogate, a: np.ndarray, s: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The definition, written down anew."""
    near = np.exp(-((s[:, None] - t[None]) ** 2).sum(2) / (2 * model.length**2))
    return model.scale * (a @ b.T) * (1 + model.rho * near) / (1 + model.rho)


def test_the_posterior_is_that_of_the_gaussian_process() -> None:
    model = surrogate()
    phi, sets = model.features.double().numpy(), model.sets.double().numpy()
    task = model.task_of.numpy()
    own = covariance(model, phi, sets[task], phi, sets[task]) + _OFFSET * (task[:, None] == task)
    own += np.diag(model.noise / model.counts.numpy())
    new_set = torch.tensor([0.3, -0.2])
    new = torch.randn(5, 4, generator=torch_rng("new"))
    at = np.tile(new_set.double().numpy(), (5, 1))
    across = covariance(model, new.double().numpy(), at, phi, sets[task])
    mean, std = model.posterior(new_set).predict(new)
    np.testing.assert_allclose(mean, across @ np.linalg.solve(own, model.targets.numpy()), rtol=1e-6)
    prior = covariance(model, new.double().numpy(), at, new.double().numpy(), at)
    np.testing.assert_allclose(
        std.square(), np.diag(prior - across @ np.linalg.solve(own, across.T)), rtol=1e-6, atol=1e-12
    )
    sign, log = np.linalg.slogdet(own)
    target = model.targets.double().numpy()
    expected = -0.5 * (target @ np.linalg.solve(own, target) + log + len(target) * np.log(2 * np.pi))
    assert sign == 1
    assert model.log_likelihood() == pytest.approx(expected)


def test_observing_is_what_records_of_that_data_set_would_have_said() -> None:
    whole = surrogate(rows=15)
    last = whole.task_of == 2
    rows = int((~last).sum())
    part = Surrogate(**(whole.config | {"num_rows": rows, "num_tasks": 2}))
    per_row = ("features", "targets", "counts", "task_of")
    state = {name: tensor[~last] if name in per_row else tensor for name, tensor in whole.state_dict().items()}
    part.load_state_dict(state | {"sets": whole.sets[:2], "source_of": whole.source_of[:2]})
    seen = part.posterior(whole.sets[2])
    after = seen.observe(whole.features[last], whole.targets[last])
    whole.counts[last] = 1.0
    expected = whole.posterior(whole.sets[2])
    np.testing.assert_allclose(after.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(after.covariance, expected.covariance, atol=1e-6)


def test_without_conditioning_one_ranking_serves_all() -> None:
    phi = torch.randn(6, 4, generator=torch_rng("phi"))
    sets = torch.tensor([[-2.0, 0.0], [2.0, 0.0]])
    means = [surrogate(rho=rho).posterior(one).predict(phi)[0] for rho in (0.0, 0.8) for one in sets]
    np.testing.assert_allclose(means[0], means[1])
    assert (means[2] - means[3]).abs().max() > 1e-3


def test_a_data_set_is_known_by_the_mean_of_its_classes() -> None:
    model = surrogate()
    assert torch.allclose(model.set_vector(model.set_mean), torch.zeros(2))
