"""The page "Add a search space" does what it says."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture(scope="module")
def package(install_page: Callable[[str], Path]) -> Path:
    return install_page("add-a-space")


def test_the_conformance_test_of_the_page_passes(
    package: Path, check_contract: Callable[[Path, str, int], None]
) -> None:
    check_contract(package, "test_stacks.py", 20)


def test_the_conformance_test_finds_mistakes(package: Path, tmp_path: Path, run_python: Run) -> None:
    right = (package / "stacks.py").read_text("utf-8")
    wrong = right.replace("+ width * num_classes + num_classes", "+ width * num_classes")
    assert wrong != right
    (tmp_path / "stacks.py").write_text(wrong, encoding="utf-8")
    (tmp_path / "test_stacks.py").write_bytes((package / "test_stacks.py").read_bytes())
    with pytest.raises(AssertionError, match="test_params_are_those_of_the_networks"):
        run_python(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_stacks.py")


def test_the_space_is_found_by_its_name(package: Path, run_python: Run) -> None:
    lines = run_python(package, "use_stacks.py").splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"k[135]-k[135]-k[135] \d+", line) for line in lines)
    assert ", stacks (from stacks)\n" in run_python(package, "-m", "metad2a.cli.main", "ls", "spaces")
