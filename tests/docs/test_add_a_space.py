"""The page "Add a search space" does what it says."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "how-to" / "add-a-space.md"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the files of the page into a folder, and install them there as pip would."""
    folder = tmp_path_factory.mktemp("stacks")
    for name, text in re.findall(
        r"^```\w+\n# (\S+)\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    ):
        (folder / name).write_text(text, encoding="utf-8")
    written = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    assert written["tool"]["setuptools"]["py-modules"] == ["stacks"], (
        "of several files setuptools packs none unasked"
    )
    project = written["project"]
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


def run(package: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        cwd=package,
        env={**os.environ, "PYTHONPATH": f"{package}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_conformance_test_of_the_page_passes(package: Path) -> None:
    output = run(package, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_stacks.py")
    passed = re.search(r"(\d+) passed", output)
    assert passed, output
    assert int(passed[1]) >= 20, "the contract was not run as a whole"


def test_the_conformance_test_finds_mistakes(package: Path, tmp_path: Path) -> None:
    right = (package / "stacks.py").read_text("utf-8")
    wrong = right.replace("+ width * num_classes + num_classes", "+ width * num_classes")
    assert wrong != right
    (tmp_path / "stacks.py").write_text(wrong, encoding="utf-8")
    (tmp_path / "test_stacks.py").write_bytes((package / "test_stacks.py").read_bytes())
    with pytest.raises(AssertionError, match="test_params_are_those_of_the_networks"):
        run(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_stacks.py")


def test_the_space_is_found_by_its_name(package: Path) -> None:
    lines = run(package, "use_stacks.py").splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"k[135]-k[135]-k[135] \d+", line) for line in lines)
