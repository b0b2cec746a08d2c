import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from metad2a.data.feature_file import holds_features
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.data.opening import open_data
from metad2a.errors import DataError, OutputError
from metad2a.runtime import torch_rng


@pytest.fixture
def file(features: FeatureSet, tmp_path: Path) -> Path:
    path = tmp_path / "random.safetensors"
    features.save(path)
    return path


def test_what_is_saved_comes_back(features: FeatureSet, file: Path) -> None:
    loaded = FeatureSet.load(file)
    assert torch.equal(loaded.features, features.features)
    assert torch.equal(loaded.counts, features.counts)
    assert torch.equal(loaded.offsets, features.offsets)
    assert (loaded.name, loaded.classes, loaded.embedder) == (features.name, features.classes, features.embedder)
    tasks = torch.tensor([[0, 3, 1], [4, -1, 2]])
    one, other = (each.draw(tasks, 4, torch_rng("draw")) for each in (features, loaded))
    assert torch.equal(one.features, other.features)


def test_the_format_is_what_its_documentation_says(features: FeatureSet, file: Path) -> None:
    tensors = load_file(file)
    assert set(tensors) == {"features", "offsets"}
    for number, block in enumerate(features.blocks()):
        first, end = tensors["offsets"][number : number + 2]
        assert torch.equal(tensors["features"][first:end], block)


def test_classes_that_are_kept_are_not_copied(features: FeatureSet, tmp_path: Path) -> None:
    kept = features.keep_classes([3, 1], names=["three", "one"])
    assert kept.features is features.features
    assert (len(kept), kept.classes) == (15, ("three", "one"))
    assert [len(block) for block in kept.blocks()] == [6, 9]
    drawn = kept.draw(torch.tensor([[0, 1]]), 100, torch_rng("all"))
    for number, origin in enumerate((3, 1)):
        rows = drawn.features[0, number][drawn.mask[0, number]]
        assert set(map(tuple, rows.tolist())) == set(map(tuple, features.blocks()[origin].tolist()))
    kept.save(tmp_path / "kept.safetensors")
    loaded = FeatureSet.load(tmp_path / "kept.safetensors")
    assert torch.equal(loaded.features, torch.cat(kept.blocks()))


def test_sorted_rows_are_not_copied() -> None:
    rows = torch.arange(8.0).view(4, 2)
    made = FeatureSet(rows, np.array([0, 0, 1, 1]), "ab", embedder="e", name="n")
    assert made.features.data_ptr() == rows.data_ptr()


def test_any_name_and_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "ünï code.safetensors"
    made = FeatureSet(
        torch.ones(2, 3, dtype=torch.float64), np.array([0, 1]), ['ä"\\', "猫"], embedder="é", name="ñ"
    )
    made.save(path)
    loaded = FeatureSet.load(path)
    assert (loaded.classes, loaded.embedder, loaded.name) == (('ä"\\', "猫"), "é", "ñ")
    assert torch.equal(loaded.features, torch.ones(2, 3))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_written(value: float, tmp_path: Path) -> None:
    rows = torch.tensor([[1.0], [value]])
    features = FeatureSet(rows, np.array([0, 1]), "ab", embedder="e", name="n")
    with pytest.raises(DataError, match="class 'b' is not finite"):
        features.save(tmp_path / "n.safetensors")
    assert not list(tmp_path.iterdir())


def test_where_nothing_can_be_written(features: FeatureSet, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"ends in \.safetensors"):
        features.save(tmp_path / "features.npz")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        features.save(tmp_path / "folder.safetensors")


def edit(path: Path, **changes: object) -> None:
    """Write the file again with other tensors or header entries."""
    tensors = load_file(path)
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(json.loads(raw[8 : 8 + length])["__metadata__"]["metad2a_features"])
    for name, value in changes.items():
        (tensors if isinstance(value, torch.Tensor) else header)[name] = value
    save_file(tensors, path, metadata={"metad2a_features": json.dumps(header)})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"offsets": torch.tensor([0, 3, 12, 16, 22, 31])}, "do not fit"),
        ({"offsets": torch.tensor([0, 3, 3, 16, 22, 30])}, "do not fit"),
        ({"offsets": torch.tensor([0, 30])}, "do not fit"),
        ({"features": torch.zeros(30, 6, dtype=torch.float64)}, "do not fit"),
        ({"classes": ["a", "b"]}, "do not fit"),
        ({"classes": None}, "header is damaged"),
        ({"schema_version": "x"}, "header is damaged"),
        ({"schema_version": 9}, "format 9.*Upgrade"),
    ],
)
def test_files_that_contradict_themselves(file: Path, changes: dict[str, object], message: str) -> None:
    edit(file)
    assert len(FeatureSet.load(file)) == 30
    edit(file, **changes)
    with pytest.raises(DataError, match=message):
        FeatureSet.load(file)


def test_files_that_are_no_features(file: Path, tmp_path: Path) -> None:
    assert holds_features(file)
    content = file.read_bytes()
    for cut in (4, 100, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"random\.safetensors is no safetensors file, or a damaged one"):
            FeatureSet.load(file)
    file.write_text("<!DOCTYPE html><html>not found</html>")
    with pytest.raises(DataError, match="is no safetensors file"):
        FeatureSet.load(file)
    assert not holds_features(file)
    for key, message in (("metad2a", "is a checkpoint"), ("other", "not written by metad2a")):
        save_file({"x": torch.zeros(1)}, file, metadata={key: "{}"})
        with pytest.raises(DataError, match=message):
            FeatureSet.load(file)
        assert not holds_features(file)
    with pytest.raises(DataError, match="does not exist"):
        FeatureSet.load(tmp_path / "none.safetensors")


def test_data_is_opened_by_its_form(file: Path, tmp_path: Path) -> None:
    assert isinstance(open_data("embedded:digits"), ImageSet)
    assert isinstance(open_data(str(file)), FeatureSet)
    with pytest.raises(DataError, match="does not exist"):
        open_data(str(tmp_path / "none.safetensors"))
    with pytest.raises(DataError, match=r"do not exist.*file\.safetensors of features"):
        open_data(str(tmp_path / "none"))
    with pytest.raises(DataError, match="holds features, not images"):
        ImageSet.open(str(file))


PROGRAM = """
import sys, torch
from metad2a.data.features import FeatureSet
from metad2a.runtime import torch_rng

def own_megabytes():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) / 1000 for line in status if line.startswith("RssAnon"))

torch.rand(10).topk(2)
before = own_megabytes()
features = FeatureSet.load(sys.argv[1]).keep_classes(range(100), names=[str(i) for i in range(100)])
sets = features.draw(torch.arange(100).view(5, 20), 20, torch_rng("draw"))
print(own_megabytes() - before, len(features), sets.features.sum().item())
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_a_large_file_is_not_loaded(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    blocks = torch.ones(100_000, 512)
    FeatureSet(blocks, np.arange(100_000) // 1000, [str(i) for i in range(100)], embedder="e", name="n").save(path)
    assert path.stat().st_size > 200e6
    outcome = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    megabytes, images, total = outcome.stdout.split()
    assert (int(images), float(total)) == (100_000, 2000 * 512)
    assert float(megabytes) < 40, "the 2,000 rows drawn take 4 MB"
