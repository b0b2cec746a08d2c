from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from metad2a import errors, plugins
from metad2a.errors import MetaD2AError, UnknownNameError, UserError, unknown_name
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.registry import get_space

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Give a function that installs a package with a module and entry points, as an installer would."""

    def package(module: str, code: str, points: dict[str, str]) -> None:
        (tmp_path / f"{module}.py").write_text(code, encoding="utf-8")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
        lines = [f"[metad2a.{kind}]\n{point}\n" for kind, point in points.items()]
        (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        plugins._group.cache_clear()

    yield package
    plugins._group.cache_clear()


# --- errors -------------------------------------------------------------------------------------------------


def test_every_error_for_users_is_a_user_error() -> None:
    own = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert len(own) >= 9
    for error in set(own) - {MetaD2AError}:
        assert issubclass(error, UserError)
        assert issubclass(error, MetaD2AError)
        assert not issubclass(error, KeyError), "str() of a KeyError is the text in quotes"


def test_errors_are_also_what_other_programs_catch() -> None:
    assert issubclass(errors.OutputError, OSError)
    for error in (errors.ArchitectureError, errors.ConfigError, errors.DataError, errors.UnknownNameError):
        assert issubclass(error, ValueError)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        (
            "nasbench-201",
            ["mobilenetv3", "nasbench201"],
            "Did you mean 'nasbench201'? Known: mobilenetv3, nasbench201.",
        ),
        ("zzz", ["b", "a"], "unknown space 'zzz'. Known: a, b."),
        ("zzz", [], "unknown space 'zzz'. Known: none."),
    ],
)
def test_unknown_names(name: str, options: list[str], message: str) -> None:
    error = unknown_name("space", name, options)
    assert isinstance(error, UnknownNameError)
    assert str(error).startswith(f"unknown space '{name}'.")
    assert str(error).endswith(message)


# --- plugins ------------------------------------------------------------------------------------------------


def test_built_in_names() -> None:
    found = {kind: plugins.names(kind) for kind in plugins.KINDS}
    assert "nasbench201" in found["spaces"]
    assert {"efficientnet-lite0", "pixels"} <= set(found["embedders"])
    assert {"flops", "params"} <= set(found["proxies"])
    assert all(names == sorted(names) for names in found.values())


def test_everything_declared_can_be_loaded() -> None:
    for kind in plugins.KINDS:
        for name in plugins.names(kind):
            assert callable(plugins.load(kind, name))


@pytest.mark.parametrize(
    ("kind", "name", "singular"),
    [("spaces", "x", "space"), ("embedders", "x", "embedder"), ("proxies", "x", "proxy")],
)
def test_unknown_plugins(kind: str, name: str, singular: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"unknown {singular} '{name}'\. Known: .*{plugins.names(kind)[0]}"):
        plugins.load(kind, name)


def test_another_package_adds_a_space(install: Install) -> None:
    code = (
        "from metad2a.spaces.nasbench201 import NASBench201\nclass FewCells(NASBench201):\n    options = (2,) * 6\n"
    )
    install("few_cells_package", code, {"spaces": "few_cells = few_cells_package:FewCells"})
    space = get_space("few_cells")
    assert isinstance(space, SearchSpace)
    assert isinstance(space, NASBench201)
    assert space.size == 64
    assert plugins.names("spaces") == sorted({*plugins.names("spaces"), "few_cells", "nasbench201"})


def test_the_package_of_a_name_is_known_and_listed(install: Install, run: Callable[..., Any]) -> None:
    install("few_cells_package", "", {"spaces": "few_cells = few_cells_package:FewCells"})
    assert plugins.origin("spaces", "few_cells") == "few_cells_package"
    assert {plugins.origin(kind, name) for kind in plugins.KINDS for name in plugins.names(kind)} == {
        None,
        "few_cells_package",
    }
    text = run("ls", "spaces").done().out
    assert text == "spaces: few_cells (from few_cells_package), mobilenetv3, mobilenetv3-compact, nasbench201\n"


@pytest.mark.parametrize("target", ["broken_package:Missing", "no_such_module_anywhere:Space"])
def test_a_package_that_is_broken(install: Install, target: str) -> None:
    install("broken_package", "", {"proxies": f"broken = {target}"})
    assert "broken" in plugins.names("proxies"), "declaring is not importing"
    with pytest.raises(UserError, match=rf"'broken' \(proxies\) is declared as {target} but cannot be loaded"):
        plugins.load("proxies", "broken")


def test_nothing_is_imported_to_list_names(install: Install) -> None:
    install("explosive_package", "raise SystemExit('imported')", {"embedders": "bang = explosive_package:Bang"})
    assert "bang" in plugins.names("embedders")
    with pytest.raises(UnknownNameError):
        plugins.load("embedders", "bong")
