"""Pages that add something of one's own: their files in a folder, installed there, and run."""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def write_files() -> Callable[[str, Path], None]:
    """Return a function that writes the files of a how-to page, which say their names, into a folder."""

    def write_files(page: str, folder: Path) -> None:
        text = (ROOT / "docs" / "how-to" / f"{page}.md").read_text("utf-8")
        for name, content in re.findall(r"^```\w+\n# (\S+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
            (folder / name).write_text(content, encoding="utf-8")

    return write_files


@pytest.fixture(scope="session")
def install_page(
    tmp_path_factory: pytest.TempPathFactory, write_files: Callable[[str, Path], None]
) -> Callable[[str], Path]:
    """Return a function that writes the files of a page into a new folder, and installs them there as pip would."""

    def install_page(page: str) -> Path:
        folder = tmp_path_factory.mktemp(page)
        write_files(page, folder)
        written = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
        project = written["project"]
        assert written["tool"]["setuptools"]["py-modules"] == [project["name"]], (
            "of several files setuptools packs none unasked"
        )
        info = folder / f"{project['name']}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
        )
        points = [
            f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
            for group, entries in project["entry-points"].items()
        ]
        (info / "entry_points.txt").write_text("\n".join(points), encoding="utf-8")
        return folder

    return install_page


@pytest.fixture(scope="session")
def run_python() -> Callable[..., str]:
    """Return a function that runs Python in a folder whose packages are installed, and returns what it prints."""

    def run_python(folder: Path, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run_python


@pytest.fixture(scope="session")
def check_contract(run_python: Callable[..., str]) -> Callable[[Path, str, int], None]:
    """Return a function that runs a page's conformance test, of at least so many tests."""

    def check_contract(folder: Path, file: str, least: int) -> None:
        output = run_python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", file)
        passed = re.search(r"(\d+) passed", output)
        assert passed, output
        assert int(passed[1]) >= least, "the contract was not run as a whole"

    return check_contract
