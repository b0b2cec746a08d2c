from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metad2a.data.embedders.pixels import Pixels
from metad2a.data.features import FeatureSet
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.features import database_features
from metad2a.training.meta_data import meta_data


@pytest.fixture
def database(space: NASBench201) -> MetaDatabase:
    """Two tasks of photos, of two and of three classes, and four records, one of them of a failed training."""
    texts = [space.format(arch) for arch in space.sample(3, numpy_rng("archs"))]
    tasks = pd.DataFrame(
        {"task": ["t1", "t2"], "source": ["photos", "photos"], "classes": [["dog", "cat"], ["fox", "cat", "dog"]]}
    )
    rows = pd.DataFrame(
        {
            "task": ["t2", "t1", "t2", "t1"],
            "arch": [texts[1], texts[0], texts[2], texts[0]],
            "accuracy": [61.0, 62.0, np.nan, 64.0],
            "status": ["ok", "ok", "failed", "ok"],
            "split": None,
        }
    )
    return MetaDatabase({"name": "photos", "space": "nasbench201"}, tasks, rows)


@pytest.fixture
def write_images(tmp_path: Path) -> Callable[..., str]:
    def write(name: str, classes: tuple[str, ...], each: int) -> str:
        labels = np.repeat(np.arange(len(classes)), each)
        pixels = numpy_rng(name).integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8)
        np.savez(tmp_path / f"{name}.npz", x=pixels, y=labels, classes=np.array(classes))
        return str(tmp_path / f"{name}.npz")

    return write


@pytest.fixture
def photos(database: MetaDatabase, write_images: Callable[..., str]) -> FeatureSet:
    files = [write_images("one", ("owl", "dog", "cat"), 3), write_images("two", ("fox", "cat"), 4)]
    return database_features(database, Pixels(), images=files, max_images_per_class=3)


def test_image_sets_add_up_by_class(photos: FeatureSet) -> None:
    counts = dict(zip(photos.classes, photos.counts.tolist(), strict=True))
    assert counts == {"photos/cat": 6, "photos/dog": 3, "photos/fox": 3}, "at most three of each image set"
    assert photos.embedder == Pixels.fingerprint


def test_records_find_their_task_and_architecture(
    database: MetaDatabase, photos: FeatureSet, space: NASBench201
) -> None:
    data = meta_data(database, photos, space, valid=np.array([True, False, False]))
    for row, record in database.records.iterrows():
        assert data.arch_names[data.arch_of[row]] == record["arch"]
        graph = data.archs[data.arch_of[row] : data.arch_of[row] + 1]
        assert space.decode(graph) == [space.parse(record["arch"])]
        task = [photos.classes[c] for c in data.tasks[data.task_of[row]].tolist() if c >= 0]
        expected = database.tasks.set_index("task").loc[record["task"], "classes"]
        assert task == [f"photos/{name}" for name in expected]
    assert data.accuracy.tolist() == [61.0, 62.0, 64.0]
    assert data.valid_rows.tolist() == [0]
    assert data.tasks.shape == (2, 3)


def test_what_does_not_fit_together(database: MetaDatabase, photos: FeatureSet, space: NASBench201) -> None:
    half = np.array([True, False, False])
    for one_side in (np.zeros(3, dtype=bool), np.ones(3, dtype=bool)):
        with pytest.raises(DatabaseError, match="both need records"):
            meta_data(database, photos, space, valid=one_side)
    without_fox = FeatureSet(
        photos.features[:9], np.repeat([0, 1], [6, 3]), photos.classes[:2], embedder="e", name="two"
    )
    with pytest.raises(DatabaseError, match=r"no images for 1 classes of the tasks, e\.g\. 'photos/fox'"):
        meta_data(database, without_fox, space, valid=half)
    other = MetaDatabase({"name": "x", "space": "mobilenetv3"}, database.tasks, database.records)
    with pytest.raises(DatabaseError, match="of space 'mobilenetv3', not 'nasbench201'"):
        meta_data(other, photos, space, valid=half)


def test_images_that_are_missing(database: MetaDatabase, write_images: Callable[..., str]) -> None:
    with pytest.raises(DatabaseError, match="source 'photos', which is not embedded"):
        database_features(database, Pixels(), images=[], max_images_per_class=3)
    for classes in (("cat", "dog"), ("dog", "cat", "owl")):
        files = [write_images("few", classes, 2)]
        with pytest.raises(DatabaseError, match=r"'photos' lack 1 of 3 classes, e\.g\. 'fox'\. Add image sets"):
            database_features(database, Pixels(), images=files, max_images_per_class=3)
    with pytest.raises(DatabaseError, match="lack 3 of 3 classes"):
        database_features(
            database, Pixels(), images=[write_images("owls", ("owl", "emu"), 2)], max_images_per_class=3
        )
