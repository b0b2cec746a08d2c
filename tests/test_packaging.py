"""What a user installs: the wheel, the conda environment, the version."""

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

import metad2a

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def files_below(folder: str, pattern: str = "*") -> set[str]:
    """Return the files of the checkout that git would keep."""
    skip = ("__pycache__", ".ipynb_checkpoints", "local")
    return {
        path.relative_to(ROOT / folder).as_posix()
        for path in (ROOT / folder).rglob(pattern)
        if path.is_file() and not set(path.relative_to(ROOT).parts) & set(skip)
    }


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [path] = out.glob("*.whl")
    return path


def test_the_version_is_written_once_more_only_here() -> None:
    assert metad2a.__version__ == PROJECT["version"]


def test_conda_installs_what_pip_does() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))
    assert environment["name"] == PROJECT["name"]
    python, pip, packages = environment["dependencies"]
    assert python == "python" + PROJECT["requires-python"]
    assert pip == "pip"
    assert packages == {"pip": ["-e .[all]"]}
    named = re.fullmatch(r"metad2a\[(.*)\]", PROJECT["optional-dependencies"]["all"][0])
    assert named
    assert {*named[1].split(","), "all", "dev"} == set(PROJECT["optional-dependencies"])


def test_the_wheel_holds_everything_that_runs(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"metad2a/conf/{name}" for name in files_below("conf", "*.yaml")} <= names
    assert {f"metad2a/assets/{name}" for name in files_below("data")} <= names
    assert {f"metad2a/{name}" for name in files_below("metad2a")} <= names
    assert "metad2a/py.typed" in names
    assert "metad2a/reporting/templates/report.html.j2" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    tops = {name.split("/")[0] for name in archive.namelist()}
    assert tops == {"metad2a", f"metad2a-{PROJECT['version']}.dist-info"}
    assert not [name for name in archive.namelist() if "__pycache__" in name or "/local/" in name]
    assert wheel.stat().st_size < 45 * 2**20


def test_the_wheel_names_its_commands_and_plugins(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    text = archive.read(f"metad2a-{PROJECT['version']}.dist-info/entry_points.txt").decode()
    for group, points in {"console_scripts": PROJECT["scripts"], **PROJECT["entry-points"]}.items():
        assert f"[{group}]" in text
        for name, target in points.items():
            assert f"{name} = {target}" in text
            module = target.partition(":")[0].replace(".", "/")
            assert f"metad2a/{module.removeprefix('metad2a/')}.py" in archive.namelist()


@pytest.mark.slow
def test_the_installed_wheel_works_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv/bin/python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    zipfile.ZipFile(wheel).extractall(packages)
    # The dependencies are those of this environment. They come after the wheel on the path, and .pth files among
    # them (that of the editable install) are not read, so metad2a itself can only be the wheel's.
    (packages / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    env |= {"OMP_NUM_THREADS": "1", "METAD2A_CACHE": str(tmp_path / "cache")}

    def run(*arguments: str) -> str:
        command = [str(python), "-c", "from metad2a.cli.main import main; main()", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    where = [str(python), "-c", "import metad2a; print(metad2a.__file__)"]
    found = subprocess.run(where, cwd=tmp_path, env=env, capture_output=True, text=True, check=True).stdout
    assert found.strip() == str(packages / "metad2a/__init__.py")
    run("search", "embedded:digits", "--images-per-class", "2", "--candidates", "20", "--json", "found.json")
    assert (tmp_path / "found.json").is_file()
    run("demo", "--quick", "--out", "out")
    assert list((tmp_path / "out").glob("*/report.html"))
