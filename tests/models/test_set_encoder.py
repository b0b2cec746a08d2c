import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metad2a.models.set_attention import SetAttention
from metad2a.models.set_encoder import SetEncoder
from metad2a.runtime import torch_rng

SIZES = st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
SEEDS = st.integers(0, 1000)
FEATURES = 6


def encoder(normalize: bool = False) -> SetEncoder:
    torch.manual_seed(0)
    return SetEncoder(FEATURES, 8, normalize=normalize).double()


def normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch_rng(seed), dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(size=SIZES, seed=SEEDS, normalize=st.booleans())
def test_order_of_images_and_classes_does_not_matter(
    size: tuple[int, int, int], seed: int, normalize: bool
) -> None:
    model, features = encoder(normalize), normal(*size, FEATURES, seed=seed)
    mask = torch.rand(size, generator=torch_rng(seed, "mask")) < 0.7
    images = torch.randperm(size[2], generator=torch_rng(seed, "images"))
    classes = torch.randperm(size[1], generator=torch_rng(seed, "classes"))
    shuffled = model(features[:, classes][:, :, images], mask[:, classes][:, :, images])
    torch.testing.assert_close(shuffled, model(features, mask))


@settings(deadline=None, max_examples=30)
@given(size=SIZES, seed=SEEDS, more=st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_masked_is_cropped(size: tuple[int, int, int], seed: int, more: tuple[int, int]) -> None:
    model, features = encoder(), normal(*size, FEATURES, seed=seed)
    tasks, classes, images = size
    padded = 9 * normal(tasks, classes + more[0], images + more[1], FEATURES, seed=seed + 1)
    padded[:, :classes, :images] = features
    mask = torch.zeros(padded.shape[:3], dtype=torch.bool)
    mask[:, :classes, :images] = True
    torch.testing.assert_close(model(padded, mask), model(features))


def test_batch_is_singles() -> None:
    model, features = encoder(), normal(4, 3, 5, FEATURES, seed=0)
    mask = torch.rand(features.shape[:3], generator=torch_rng("mask")) < 0.6
    singles = torch.cat([model(f[None], m[None]) for f, m in zip(features, mask, strict=True)])
    torch.testing.assert_close(model(features, mask), singles)


def test_an_empty_class_gives_no_nan_and_no_gradient() -> None:
    model, features = encoder(), normal(2, 3, 4, FEATURES, seed=0).requires_grad_()
    mask = torch.ones(2, 3, 4, dtype=torch.bool)
    mask[0, 1] = mask[1] = False  # a class of the first task, and all of the second
    vectors = model(features, mask)
    assert vectors.isfinite().all()
    vectors[0].sum().backward()
    assert features.grad is not None
    assert features.grad.isfinite().all()
    assert not features.grad[0, 1].any()
    assert features.grad[0, 0].any()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_the_result_depends_on_the_images() -> None:
    model, features = encoder(), normal(1, 2, 3, FEATURES, seed=0)
    changed = features.clone()
    changed[0, 1, 2] += 1
    assert not torch.allclose(model(features), model(changed))


def test_normalised_features_have_no_scale() -> None:
    features = normal(2, 3, 4, FEATURES, seed=0)
    torch.testing.assert_close(
        encoder(normalize=True)(features), encoder(normalize=True)(50 * features + 3), rtol=1e-3, atol=1e-4
    )
    assert not torch.allclose(encoder()(features), encoder()(50 * features + 3))


def test_attention_is_scaled_by_the_whole_width() -> None:
    """The block against a plain sum over heads, elements and queries."""
    torch.manual_seed(0)
    block, queries, elements = (
        SetAttention(5, 3, 8, num_heads=2).double(),
        normal(1, 2, 5, seed=1),
        normal(1, 4, 3, seed=2),
    )
    q, k, v = block.query(queries), block.key(elements), block.value(elements)
    hidden = q.clone()
    for head in (slice(0, 4), slice(4, 8)):
        weights = (q[0, :, head] @ k[0, :, head].T / 8**0.5).softmax(-1)
        hidden[0, :, head] += weights @ v[0, :, head]
    torch.testing.assert_close(block(queries, elements), hidden + block.out(hidden).relu())
