import gzip
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from metad2a.data.image_set import ImageSet

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "build-a-database.md"


def block(word: str) -> str:
    """Return the program on the page that holds ``word``."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (found,) = [text for text in blocks if word in text]
    return str(found)


def test_fashion_mnist_is_read_as_the_page_says(tmp_path: Path) -> None:
    """Files of its authors' form, with made-up content."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 28, 28), dtype=np.uint8)
    labels = np.arange(40, dtype=np.uint8) % 10
    for name, header, content in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
        with gzip.open(tmp_path / f"train-{name}-ubyte.gz", "wb") as file:
            file.write(bytes(header) + content.tobytes())
    (tmp_path / "images").mkdir()
    subprocess.run([sys.executable, "-c", block("fashion_mnist.npz")], cwd=tmp_path, check=True)
    images = ImageSet.open(str(tmp_path / "images" / "fashion_mnist.npz"))
    assert images.counts.tolist() == [4] * 10
    assert images.classes[9] == "Ankle boot"
    assert np.array_equal(images.load(range(40), 28)[..., 0], pixels)


@pytest.mark.slow
def test_the_python_on_the_page_runs(tmp_path: Path) -> None:
    (tmp_path / "this.py").write_text(block("build(jobs"))
    done = subprocess.run([sys.executable, "this.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "BuildSummary(computed=4, failed=0, known=0, left=0)" in done.stdout
    assert (tmp_path / "my_database" / "manifest.json").is_file()
