"""The picture of the README."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from metad2a.data.embedders.base import get_embedder
from metad2a.models.checkpoint import Checkpoint


def test_images_and_the_first_cells_are_drawn(
    run_script: Callable[..., Any], make_checkpoint: Callable[..., Checkpoint], tmp_path: Path
) -> None:
    embedder = get_embedder("pixels")
    info = {"name": "pixels", "fingerprint": embedder.fingerprint, "dim": embedder.dim}
    make_checkpoint(feature_dim=embedder.dim, embedder=info).save(tmp_path / "mine.safetensors")
    run_script("draw_search", "embedded:digits", "out.svg", "--checkpoint", "mine.safetensors").done()
    picture = ElementTree.parse(tmp_path / "out.svg")  # noqa: S314 - our own
    svg = "{http://www.w3.org/2000/svg}"
    assert len(picture.findall(f"{svg}image")) == 30
    cells = picture.findall(f"{svg}svg")
    assert [cell.get("width") for cell in cells] == ["250"] * 3
    texts = ["".join(text.itertext()) for text in picture.findall(f"{svg}text")]
    assert "digits: 10 classes, 1,797 images" in texts
    assert [text[:2] for text in texts if " M parameters" in text] == ["1:", "2:", "3:"]
