from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metad2a.data.cache import embed
from metad2a.data.embedders.pixels import Pixels
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError, DataError, UnknownNameError
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
            "recipe": "made up",
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


# --- several sources ------------------------------------------------------------------------------------------


@pytest.fixture
def digits(space: NASBench201) -> MetaDatabase:
    """Tasks of two sources whose classes have the same names, and of one whose have not."""
    text = space.format(space.sample(1, numpy_rng("archs"))[0])
    tasks = pd.DataFrame(
        {
            "task": ["t1", "t2", "t3"],
            "source": ["mnist", "signs", "birds"],
            "classes": [["0", "1"], ["1", "0"], ["owl", "emu"]],
        }
    )
    rows = pd.DataFrame({"task": ["t1", "t2", "t3"], "arch": text, "accuracy": 50.0, "status": "ok", "split": None})
    return MetaDatabase({"name": "digits", "space": "nasbench201"}, tasks, rows)


def counts(database: MetaDatabase, images: list[str]) -> dict[str, int]:
    features = database_features(database, Pixels(), images=images, max_images_per_class=100)
    return dict(zip(features.classes, features.counts.tolist(), strict=True))


def test_images_of_one_source_alone(digits: MetaDatabase, write_images: Callable[..., str]) -> None:
    mnist, more, signs = (
        write_images(name, ("0", "1"), each) for name, each in (("m=1", 3), ("more", 2), ("signs", 5))
    )
    birds = write_images("birds", ("emu", "owl", "auk"), 4)
    own = {"mnist/0": 3, "mnist/1": 3, "signs/0": 5, "signs/1": 5, "birds/emu": 4, "birds/owl": 4}
    named = [f"mnist={mnist}", f"signs={signs}"]
    assert counts(digits, [*named, birds]) == own, "a place without a name is for the others"
    assert counts(digits, [birds, *named]) == own
    assert counts(digits, [*named, f"birds={birds}"]) == own
    assert counts(digits, [*named, birds, f"mnist={more}"]) == own | {"mnist/0": 5, "mnist/1": 5}
    features = database_features(digits, Pixels(), images=[*named, birds], max_images_per_class=100)
    expected = embed(ImageSet.open(signs), Pixels(), cache=None).blocks()[0]
    assert torch.equal(features.blocks()[features.classes.index("signs/0")], expected)


def test_names_and_places_may_hold_any_character(space: NASBench201, write_images: Callable[..., str]) -> None:
    text = space.format(space.sample(1, numpy_rng("archs"))[0])
    tasks = pd.DataFrame({"task": ["t1", "t2"], "source": ["a", "a=b"], "classes": [["0", "1"], ["0", "1"]]})
    rows = pd.DataFrame({"task": ["t1", "t2"], "arch": text, "accuracy": 50.0, "status": "ok", "split": None})
    database = MetaDatabase({"name": "odd", "space": "nasbench201"}, tasks, rows)
    first, second = write_images("b=x", ("0", "1"), 2), write_images("second", ("0", "1"), 3)
    assert counts(database, [f"a={first}", f"a=b={second}"]) == {"a/0": 2, "a/1": 2, "a=b/0": 3, "a=b/1": 3}


def test_whose_images_they_are_must_be_clear(digits: MetaDatabase, write_images: Callable[..., str]) -> None:
    mnist, birds = write_images("mnist", ("0", "1"), 3), write_images("birds", ("emu", "owl"), 4)
    with pytest.raises(
        DatabaseError, match=r"'mnist' and 'signs' both have a class '0', .*images=\[mnist=PLACE, signs=PLACE"
    ):
        counts(digits, [mnist, birds])
    with pytest.raises(DatabaseError, match=r"use images of source 'signs', .* images=\[signs=FOLDER"):
        counts(digits, [f"mnist={mnist}", f"birds={birds}"])
    with pytest.raises(UnknownNameError, match=r"image source of the database 'mnits'\. Did you mean 'mnist'"):
        counts(digits, [f"mnits={mnist}", birds])
    with pytest.raises(DatabaseError, match=r"lack 1 of 2 classes, e\.g\. '1'"):
        counts(digits, [f"mnist={mnist}", f"signs={write_images('half', ('0', 'x'), 2)}", birds])
    named = [f"{name}={mnist}" for name in ("mnist", "signs")]
    with pytest.raises(DatabaseError, match="are for none of the database's sources: birds, mnist, signs"):
        counts(digits, [*named, f"birds={birds}", mnist])
    with pytest.raises(DataError, match="does not exist"):
        counts(digits, [*named, "/no=where/birds.npz"])


def test_embedded_images_need_no_place_but_may_have_one(
    database: MetaDatabase, write_images: Callable[..., str]
) -> None:
    database.tasks["source"] = "embedded:digits"
    database.tasks["classes"] = [["1", "2"], ["1", "3"]]
    embedded = counts(database, [])
    assert set(embedded) == {f"embedded:digits/{number}" for number in "123"}
    mine = write_images("mine", ("1", "2", "3"), 4)
    assert counts(database, [f"embedded:digits={mine}"]) == dict.fromkeys(embedded, 4)
