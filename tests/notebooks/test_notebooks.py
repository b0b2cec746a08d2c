"""The notebooks run from top to bottom, in an empty folder, and are kept without outputs."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
NAMES = ("mobilenetv3", "quickstart", "reading-the-database")


def read(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def outputs(notebook: Any) -> str:
    """Return everything the cells printed and returned, as text."""
    found = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "\n".join(output.get("text") or output["data"]["text/plain"] for output in found)


def test_these_are_all_notebooks() -> None:
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_notebooks_are_kept_without_outputs(name: str) -> None:
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert code
    assert all(not cell.outputs and cell.execution_count is None for cell in code)
    assert notebook.cells[0].source.startswith("# ")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("quickstart", ["ImageSet('my_images', 100 images, 10 classes)", "'sampled'", "torch.Size([8, 10])"]),
        (
            "mobilenetv3",
            ["multiply-adds, ", "['card.json', 'network.py', 'weights.pt']", "95 % interval", "true: ['"],
        ),
        ("reading-the-database", ["MetaDatabase('demo', nasbench201", "metad2a build-database", "between tasks: "]),
    ],
)
def test_notebooks_run(name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METAD2A_CACHE", str(tmp_path / "cache"))
    notebook = read(name)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    ).execute()
    text = outputs(notebook)
    for word in words:
        assert word in text
