from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metad2a.data.findings import Finding
from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import Inspection, inspect
from metad2a.errors import DataError, UserError
from metad2a.runtime import numpy_rng

MESSY = 3  # images of make_folder in each class


def noise(*shape: int, key: str = "") -> np.ndarray:
    return numpy_rng("inspection", key, *shape).integers(0, 256, shape, dtype=np.uint8)


def by_kind(result: Inspection) -> dict[str, Finding]:
    return {finding.kind: finding for finding in result.findings}


def test_a_clean_folder(make_folder) -> None:
    folder = make_folder(images=12)
    result = inspect(str(folder))
    assert (result.name, result.source, result.images) == ("pets", str(folder), 24)
    assert result.counts == {"cat": 12, "dog": 12}
    assert result.sizes is not None
    assert (result.sizes.width, result.sizes.height, result.sizes.distinct) == ((16,) * 3, (12,) * 3, 1)
    assert (result.sizes.commonest, result.sizes.share) == ((16, 12), 1.0)
    assert (result.modes, result.formats, result.usable) == ({"RGB": 24}, {"PNG": 24}, True)
    assert [finding.kind for finding in result.findings] == ["small"]


@pytest.fixture
def messy(make_folder) -> Path:
    """A folder with about everything in its classes that can be used all the same."""
    folder = make_folder(images=MESSY)
    cat, dog = folder / "cat", folder / "dog"
    photo = Image.fromarray(noise(40, 30, 3))
    photo.convert("L").save(cat / "gray.png")
    photo.quantize(16).save(cat / "palette.gif")
    photo.convert("CMYK").save(cat / "print.jpg")
    Image.fromarray(noise(40, 30, 4)).save(cat / "alpha.png")
    Image.fromarray(noise(40, 30).astype(np.uint16) * 257).save(cat / "deep.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.save(dog / "turned.jpg", exif=exif)
    photo.save(dog / "really_a.png", format="JPEG")
    photo.save(dog / "moves.gif", save_all=True, append_images=[Image.fromarray(noise(40, 30, 3, key="2"))])
    Image.fromarray(noise(20, 41, 3)).save(dog / "LONG.PNG")
    (dog / "copy of cat.png").write_bytes((cat / "0.png").read_bytes())
    (dog / "copy.png").write_bytes((dog / "1.png").read_bytes())
    whole = (dog / "turned.jpg").read_bytes()
    (dog / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (dog / "page.jpg").write_text("<html>not found</html>")
    (dog / "empty.png").touch()
    (dog / "gone.png").symlink_to(folder / "nowhere.png")
    (dog / ".DS_Store").touch()
    (folder / "README.md").write_text("about pets")
    return folder


def test_everything_is_found_and_nothing_stops(messy) -> None:
    result = inspect(messy)
    assert result.usable
    assert result.images == 2 * MESSY + 5 + 6 + 4
    assert result.counts == {"cat": MESSY + 5, "dog": MESSY + 6}
    assert result.modes == {"RGB": 11, "P": 2, "L": 1, "RGBA": 1, "CMYK": 1, "I;16": 1}
    assert result.formats == {"PNG": 12, "JPEG": 3, "GIF": 2}
    assert result.sizes is not None
    assert (result.sizes.width, result.sizes.height) == ((16, 30, 41), (12, 20, 40))
    found = by_kind(result)
    counts = {kind: finding.count for kind, finding in found.items()}
    assert counts == {
        **{"unreadable": 4, "across": 1, "within": 1, "few": 2, "long": 1, "small": 8, "ignored": 2},
        **{"gray": 1, "palette": 2, "transparent": 1, "cmyk": 1, "sixteen bits": 1, "turned": 1, "animated": 1},
        "misnamed": 1,
    }
    dog = messy / "dog"
    assert found["turned"].examples == (str(dog / "turned.jpg"),)
    assert found["misnamed"].examples == (str(dog / "really_a.png"),)
    assert found["across"].examples == (f"{messy}/cat/0.png = {dog}/copy of cat.png",)
    assert found["within"].examples == (f"{dog}/1.png = {dog}/copy.png",)
    assert found["few"].examples == ("cat (8)", "dog (9)")
    levels = [finding.level for finding in result.findings]
    assert levels == sorted(levels, key=["refused", "look", "handled"].index)
    assert [finding.kind for finding in result.findings][:3] == ["unreadable", "across", "within"]


def test_every_unreadable_file_says_why(messy) -> None:
    (messy / "dog" / "LONG.PNG").unlink()
    for number in range(5):  # more than there are examples
        (messy / "dog" / f"z{number}.jpg").write_text("text")
    unreadable = by_kind(inspect(messy))["unreadable"]
    assert unreadable.count == 9
    cut, empty, gone = unreadable.examples
    assert "cut.jpg: image file is truncated" in cut
    assert empty.endswith("empty.png: is empty")
    assert gone.endswith("gone.png: cannot be read: No such file or directory")


def test_an_image_is_read_and_decoded_once(messy, monkeypatch) -> None:
    read: list[Path] = []
    real = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path) or real(path))
    inspect(messy)
    assert sorted(read) == sorted(path for path in messy.glob("*/*") if path.name != ".DS_Store")


def test_keys_are_those_of_the_cache(messy) -> None:
    for name in ("page.jpg", "cut.jpg", "empty.png", "gone.png"):
        (messy / "dog" / name).unlink()
    images = ImageSet.from_folder(messy)
    rows = range(len(images))
    assert [facts.key for facts in images.facts(rows)] == images.content_keys(rows)


@pytest.mark.parametrize(
    ("spoil", "kind", "example"),
    [
        (lambda folder: (folder / "emu").mkdir(), "empty", "emu"),
        (lambda folder: (folder / "cat/notes.txt").write_text("x"), "strangers", "{}/cat/notes.txt"),
        (lambda folder: Image.new("L", (9, 9)).save(folder / "lost.png"), "loose", "{}/lost.png"),
        (lambda folder: [file.write_text("x") for file in folder.glob("cat/*")], "unreadable class", "cat (0)"),
        (lambda folder: [file.write_text("x") for file in folder.glob("cat/*")], "one class", "dog (3)"),
    ],
)
def test_what_makes_a_folder_useless(make_folder, spoil, kind: str, example: str) -> None:
    folder = make_folder()
    spoil(folder)
    result = inspect(folder)
    assert not result.usable
    assert by_kind(result)[kind].level == "refused"
    assert by_kind(result)[kind].examples == (example.format(folder),)
    assert result.images == 6, "the rest was not looked at"
    with pytest.raises(DataError):
        ImageSet.open(str(folder)).load(range(6), 8)


def test_classes_of_uneven_sizes(make_folder) -> None:
    folder = make_folder(images=1)
    for number in range(20):
        Image.fromarray(noise(20, 20, key=str(number))).save(folder / "dog" / f"{number}.png")
    found = by_kind(inspect(folder))
    assert found["single"].examples == ("cat (1)",)
    assert found["uneven"].examples == ("dog (20)", "cat (1)")
    assert "few" not in found


def test_a_list_whose_files_are_missing(make_folder, tmp_path) -> None:
    make_folder()
    (tmp_path / "list.csv").write_text("path,label\npets/cat/0.png,cat\npets/cat/9.png,cat\npets/dog/0.png,dog\n")
    result = inspect(f"{tmp_path}/list.csv?label=label")
    assert (result.counts, result.usable) == ({"cat": 1, "dog": 1}, False)
    assert by_kind(result)["missing"].examples == (f"{tmp_path}/pets/cat/9.png (line 3)",)
    (tmp_path / "list.csv").write_text("path,label\npets/cat/0.png,cat\n")
    with pytest.raises(UserError, match="only one class"):
        inspect(f"{tmp_path}/list.csv")


def test_arrays(tmp_path) -> None:
    x = noise(30, 20, 24, 4)
    x[7] = x[21]
    y = np.arange(30) % 2
    np.savez(tmp_path / "x.npz", x=x, y=y)
    result = inspect(f"{tmp_path}/x.npz")
    assert (result.modes, result.formats, result.counts) == ({"RGBA": 30}, {}, {"0": 15, "1": 15})
    assert result.sizes is not None
    assert result.sizes.commonest == (24, 20)
    found = by_kind(result)
    assert (found["within"].examples, found["transparent"].count) == (("image 7 = image 21",), 30)
    y[21] = 0
    memory = inspect(ImageSet.from_arrays(x, y, name="mine"))
    assert (memory.source, by_kind(memory)["across"].examples) == (None, ("image 21 = image 7",))


def test_a_set_of_parts_is_looked_at_in_its_own_order() -> None:
    x = noise(40, 20, 20)
    part = ImageSet.from_arrays(x, np.arange(40) % 4).keep_classes([3, 1])
    result = inspect(part)
    assert (result.images, result.counts) == (20, {"3": 10, "1": 10})


def test_glyphs() -> None:
    result = inspect("embedded:glyphs?classes=ab&images_per_class=700")
    assert (result.counts, result.findings) == ({"a": 700, "b": 700}, ())


def test_what_is_no_image_set(make_folder, tmp_path) -> None:
    for spec in (f"{tmp_path}/nowhere", f"{tmp_path}/nowhere.npz", "torchvision:nothing", "hf:", "embedded:cats"):
        with pytest.raises(UserError):
            inspect(spec)
    with pytest.raises(DataError, match="has no sub-folders"):
        inspect(make_folder() / "cat")


def test_json(messy) -> None:
    written = inspect(messy).to_dict()
    assert list(written) == [
        *("schema_version", "usable", "name", "source", "images", "counts", "sizes", "modes", "formats"),
        *("findings", "seconds"),
    ]
    assert (written["schema_version"], written["usable"]) == (1, True)
    assert set(written["findings"][0]) == {"kind", "level", "what", "count", "action", "examples"}
