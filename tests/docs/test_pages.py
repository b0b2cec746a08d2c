"""What the pages point to exists: links, headings, and in their Python the names and arguments of this package.

Whole pages are run elsewhere, where that takes little; this looks at all of them and computes nothing.
"""

import ast
import importlib
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("docs", "data", "scripts")
PAGES = [ROOT / "README.md", *sorted(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))]


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Return what links can name of a page, as GitHub makes it of its headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def blocks(page: Path) -> list[ast.Module]:
    text = page.read_text("utf-8")
    return [ast.parse(block) for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=name_of)
def test_python_uses_what_there_is(page: Path) -> None:
    known: dict[str, Any] = {}
    for block in blocks(page):
        for node in ast.walk(block):
            if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "metad2a":
                module = importlib.import_module(str(node.module))
                known |= {name.asname or name.name: getattr(module, name.name) for name in node.names}
        for call in (node for node in ast.walk(block) if isinstance(node, ast.Call)):
            function = meant(call.func, known)
            if function is not None:
                takes(function, call)


def meant(called: ast.expr, known: dict[str, Any]) -> Any:
    """Return what of this package ``called`` is: an imported name, or a part of one; None: something else."""
    if isinstance(called, ast.Attribute):
        whole = meant(called.value, known)
        return None if whole is None else getattr(whole, called.attr)
    return known.get(called.id) if isinstance(called, ast.Name) else None


def takes(function: Any, call: ast.Call) -> None:
    if isinstance(function, type) and issubclass(function, Exception):  # those have no signature
        return
    parameters = inspect.signature(function).parameters
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return
    assert {word.arg for word in call.keywords if word.arg} <= parameters.keys(), ast.unparse(call)


def test_every_page_is_linked() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    }
    assert [name_of(page) for page in PAGES[1:] if page not in linked] == []
