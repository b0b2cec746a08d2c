from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet
from metad2a.errors import UserError

WriteList = Callable[..., str]


@pytest.fixture
def write_list(make_folder, tmp_path) -> WriteList:
    """Return a function that writes a list beside the folder "pets" with three cats and three dogs."""
    make_folder(images=3)

    def write(text: str, name: str = "list.csv", encoding: str = "utf-8") -> str:
        (tmp_path / name).write_text(text, encoding=encoding)
        return str(tmp_path / name)

    return write


TWO = "path,label\npets/cat/0.png,cat\npets/dog/1.png,dog\n"


def test_paths_start_at_the_list_and_labels_are_sorted(write_list, tmp_path, monkeypatch) -> None:
    images = ImageSet.open(write_list("path,label\npets/dog/1.png,dog\npets/cat/0.png,cat\npets/dog/0.png,dog\n"))
    assert images.classes == ("cat", "dog")
    assert images.labels.tolist() == [1, 0, 1]
    assert images.name == "list"
    folder = ImageSet.from_folder(tmp_path / "pets")
    assert images.content_keys(range(3)) == folder.content_keys([4, 0, 3])
    assert np.array_equal(images.load([0], 8), folder.load([4], 8))
    monkeypatch.chdir("/")
    assert ImageSet.open(images.source).content_keys([2]) == images.content_keys([2])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.csv", "\ufeff" + TWO),
        ("list.CSV", TWO.replace(",", ";").replace("\n", "\r\n")),
        ("list.tsv", TWO.replace(",", "\t")),
        ("list.csv", "split,Class,FileName\ntrain,cat,pets/cat/0.png\n\ntrain,dog,pets/dog/1.png\n"),
        ("list.csv", 'image,category\n"pets/cat/0.png"," cat "\npets/dog/1.png,dog\n'),
    ],
)
def test_spellings(write_list, name: str, text: str) -> None:
    images = ImageSet.open(write_list(text, name))
    assert (len(images), images.classes) == (2, ("cat", "dog"))


def test_columns_root_and_suffix_can_be_said(write_list, tmp_path) -> None:
    (tmp_path / "lists").mkdir()
    text = "number,kind,breed,label\ncat/0,animal,a+b,1\ndog/1,animal,Ж,1\ncat/2,animal,a+b,1\n"
    path = write_list(text, "lists/list.csv")
    images = ImageSet.open(f"{path}?path=number&label=breed&root={tmp_path}/pets&suffix=.png")
    assert images.classes == ("a+b", "Ж")
    assert ImageSet.open(images.source).labels.tolist() == [0, 1, 0]
    python = ImageSet.from_csv(
        path, path_column="number", label_column="breed", root=tmp_path / "pets", suffix=".png"
    )
    assert python.source == images.source


def test_labels_that_are_numbers_are_sorted_as_numbers(write_list) -> None:
    rows = "".join(f"pets/cat/0.png,{label}\n" for label in (10, 9, "x", 2))
    assert ImageSet.open(write_list(f"path,label\n{rows}")).classes == ("2", "9", "10", "x")


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a,b\n1,2\n", "", r"has no column for the path \(path, file.*it has: a, b\. Name it: .*\?path=COLUMN"),
        ("path,b\n1,2\n", "", r"has no column for the label .*list\.csv\?label=COLUMN"),
        (TWO, "?label=kind", "has no column 'kind'; it has: path, label"),
        (TWO, "?lable=x", "unknown option of list.csv 'lable'. Did you mean 'label'"),
        (TWO, "?label", r"Write options as \?key=value"),
        (TWO, "?root=/no/such", "there is no folder /no/such"),
        ("path,label\n", "", "lists no image"),
        ("", "", "lists no image"),
        ("path,label\npets/cat/0.png,\n", "", "line 2: it has no label"),
        ("path,label\n\n,cat\n", "", "line 3: it has no path"),
        ("path,label\npets/cat/0.png\n", "", "line 2: it has no label"),
        ("path,label\npets/cat/0.png,cat\n", "", r"only one class \('cat'\)"),
        (TWO + "cat/7.png,cat\n", "", r"1 of the 3 files .* not there, the first: .*cat/7\.png \(line 4\).*suffix"),
    ],
)
def test_errors(write_list, text: str, options: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        ImageSet.open(write_list(text) + options)


def test_a_list_that_is_not_text(write_list) -> None:
    with pytest.raises(UserError, match="is not UTF-8 text"):
        ImageSet.open(write_list("path,label\nkůň.png,kůň\n", encoding="utf-16"))


def test_a_list_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*no\.csv: No such file"):
        ImageSet.open(str(tmp_path / "no.csv"))


def test_a_question_mark_may_be_part_of_a_name(write_list) -> None:
    assert len(ImageSet.open(write_list(TWO, "what?.csv"))) == 2
