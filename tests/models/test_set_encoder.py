import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from metad2a.models.set_attention import AttentionPool, SetAttention, attend
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


@settings(max_examples=30)
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


@settings(max_examples=30)
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


@pytest.mark.parametrize("length", [4, 70], ids=["small", "large"])
def test_attention_is_a_plain_sum_over_heads_and_elements(length: int) -> None:
    """Small sets and large ones take different ways; scores are scaled by the whole width."""
    torch.manual_seed(0)
    block = SetAttention(5, 8, num_heads=2).double()
    elements = normal(2, length, 5, seed=1)
    mask = torch.ones(2, length, dtype=torch.bool)
    mask[1, 3:] = False
    q, k, v = block.query(elements), block.key(elements), block.value(elements)
    hidden = q.clone()
    for head in (slice(0, 4), slice(4, 8)):
        scores = q[..., head] @ k[..., head].mT / 8**0.5
        hidden[..., head] += scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1) @ v[..., head]
    torch.testing.assert_close(block(elements, mask), hidden + block.out(hidden).relu())


@pytest.mark.parametrize("masked", [False, True])
def test_the_gradient_of_attention_over_small_sets(masked: bool) -> None:
    projected = normal(3, 4, 24, seed=3).requires_grad_()
    mask = torch.tensor([[True] * 4, [True, False, True, False], [True, False, False, False]]) if masked else None
    assert torch.autograd.gradcheck(lambda x: attend(x, mask, num_heads=2, scale=0.3), (projected,))


def test_pooling_equals_attention_from_the_seed() -> None:
    """The pool never projects the elements; here the long way."""
    torch.manual_seed(0)
    pool = AttentionPool(8, num_heads=2).double()
    elements = normal(2, 4, 8, seed=4)
    block = pool.attention
    q, k, v = block.query(pool.seed[0]), block.key(elements), block.value(elements)
    attended = [
        (q[:, head] @ k[..., head].mT / 8**0.5).softmax(-1) @ v[..., head] for head in (slice(0, 4), slice(4, 8))
    ]
    hidden = (q + torch.cat(attended, dim=-1)).squeeze(1)
    torch.testing.assert_close(pool(elements), hidden + block.out(hidden).relu())
