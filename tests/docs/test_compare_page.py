"""The Python of the page about comparing methods runs as it is written."""

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metad2a.spaces.nasbench201 import NASBench201

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "compare-methods.md"


def test_compare_methods(tmp_path: Path) -> None:
    space = NASBench201()
    archs = list(space.enumerate())
    pd.DataFrame(
        {"arch": [space.format(arch) for arch in archs], "accuracy": np.linspace(10, 90, len(archs))}
    ).to_csv(tmp_path / "my_table.csv", index=False)
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8)
    np.savez(tmp_path / "my_images.npz", x=images, y=np.arange(9) % 3)
    names: dict[str, Any] = {}
    [code] = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    with contextlib.chdir(tmp_path):
        exec(compile(code, PAGE.name, "exec"), names)  # noqa: S102 - our own page
    frame = names["result"].to_frame()
    assert list(frame["budget"]) == [1, 10, 50] * 2
    assert set(frame["method"]) == {"random", "params"}
