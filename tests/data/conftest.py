"""Images that the tests of metad2a.data share."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from metad2a.runtime import numpy_rng

MakeFolder = Callable[..., Path]


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """Return a function that writes a folder of random images: classes "cat" and "dog" with n images each."""

    def make(images: int = 3, name: str = "pets") -> Path:
        for number, label in enumerate(("cat", "dog")):
            (tmp_path / name / label).mkdir(parents=True)
            for i in range(images):
                pixels = numpy_rng("folder", number, i).integers(0, 256, (12, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / label / f"{i}.png")
        return tmp_path / name

    return make
