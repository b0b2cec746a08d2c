import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metad2a.data.features import FeatureSet
from metad2a.errors import DataError
from metad2a.runtime import torch_rng


def numbered(labels: list[int], num_classes: int) -> FeatureSet:
    """Features (label, image number): a row tells where it comes from."""
    rows = torch.tensor([[label, number] for number, label in enumerate(labels)], dtype=torch.float32)
    names = [f"c{i}" for i in range(num_classes)]
    return FeatureSet(rows, np.array(labels), names, embedder="none", name="numbered")


@settings(max_examples=60)
@given(data=st.data())
def test_draw(data: st.DataObject) -> None:
    counts = data.draw(st.lists(st.integers(1, 9), min_size=2, max_size=5))
    labels = data.draw(st.permutations([c for c, n in enumerate(counts) for _ in range(n)]))
    k = data.draw(st.integers(1, 12))
    tasks = torch.tensor(
        data.draw(
            st.lists(st.lists(st.integers(-1, len(counts) - 1), min_size=3, max_size=3), min_size=1, max_size=4)
        )
    )
    drawn = numbered(list(labels), len(counts)).draw(tasks, k, torch_rng("test", data.draw(st.integers(0, 9))))
    wanted = np.where(tasks >= 0, np.array(counts)[tasks], 0)
    assert np.array_equal(drawn.mask.sum(-1), np.minimum(wanted, k)), "up to K images, never more than there are"
    assert (drawn.features[~drawn.mask] == 0).all()
    shown = drawn.features[..., 0][drawn.mask]
    assert torch.equal(shown, tasks[..., None].expand_as(drawn.mask)[drawn.mask].float()), "wrong class"
    for features, mask in zip(drawn.features.flatten(0, 1), drawn.mask.flatten(0, 1), strict=True):
        images = features[mask][:, 1].tolist()
        assert len(set(images)) == len(images), "an image drawn twice"


def test_draw_depends_on_the_generator_alone() -> None:
    features = numbered([0] * 50 + [1] * 50, 2)
    tasks = torch.tensor([[0, 1]])
    first, again, other = (features.draw(tasks, 5, torch_rng("draw", seed)).features for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_draw_is_uniform() -> None:
    features = numbered([0] * 6 + [1] * 3, 2)
    drawn = features.draw(torch.zeros(3000, 1, dtype=torch.int64), 2, torch_rng("uniform"))
    shares = torch.bincount(drawn.features[..., 1].flatten().long(), minlength=6) / 3000
    torch.testing.assert_close(shares, torch.full((6,), 1 / 3), atol=0.04, rtol=0)


def test_order_of_images_within_classes_is_kept() -> None:
    features = numbered([1, 0, 1, 0, 0], 2)
    assert features.features[:, 1].tolist() == [1, 3, 4, 0, 2]
    assert features.counts.tolist() == [3, 2]
    assert (len(features), features.dim) == (5, 2)


def test_a_class_without_image_is_refused() -> None:
    with pytest.raises(DataError, match="class 'c1' has no image"):
        numbered([0, 0, 2], 3)
