import math
import re
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from metad2a.errors import OutputError
from metad2a.reporting.cells import cell_from_text, draw_cell
from metad2a.reporting.figures import Chart, Table, timings
from metad2a.reporting.html import Drawing, Section, shown, write_report

HOSTILE = '<script>alert("x")</script><img src=http://x onerror=1>'
CELL = "|skip_connect~0|+|none~0|nor_conv_3x3~1|+|nor_conv_1x1~0|avg_pool_3x3~1|none~2|"
VOID = {"meta", "br", "img", "hr", "input", "link"}


class Page(HTMLParser):
    """Follows every tag; fails on one that is not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def report(folder: Path, name: str = "rank") -> Page:
    sections = [
        Section("Summary", f"Found for {name}.\n\nTwo paragraphs.", facts={name: 12345, "share": 0.123456}),
        Section("Time", chart=timings({name: 1.0, "embed": 2.0})),
        Section("Candidates", table=Table(("arch", name), [(name, 93.71234), ("b", None)])),
        Section("Cells", cells=[Drawing(draw_cell(cell_from_text(CELL)), f"{name}\n91.2 %")] * 3),
        Section(name),
    ]
    path = folder / "report.html"
    write_report(path, sections, title=name, subtitle=name, command=f"metad2a search {name}", footer=name)
    return Page(path)


def test_a_report_is_one_whole_page(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert (page.tags.count("section"), page.tags.count("svg"), page.tags.count("details")) == (5, 4, 1)
    for text in ("12,345", "0.1235", "93.71", "\N{EN DASH}", "metad2a search rank", "Two paragraphs."):
        assert text in page.texts
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_a_report_refers_to_nothing_outside(tmp_path: Path) -> None:
    page = report(tmp_path)
    assert not {"script", "link", "iframe", "object", "img", "base"} & set(page.tags)
    for name, value in page.attributes:
        if name in ("src", "srcset", "data", "action", "poster", "background"):
            pytest.fail(f"{name}={value}")
        if name.endswith("href"):
            assert value.startswith("#")
    styles = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "@import" not in styles
    assert all(target.startswith("#") for target in re.findall(r"url\(['\"]?([^)]*)", styles))


def test_hostile_names_are_shown_as_they_are(tmp_path: Path) -> None:
    page = report(tmp_path, HOSTILE)
    assert not {"script", "img"} & set(page.tags)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert sum(HOSTILE in text for text in page.texts) >= 10


def test_every_figure_has_its_table(tmp_path: Path) -> None:
    chart = Chart(Table(("stage", "seconds"), [("unique-stage", 41.5)]), timings({"x": 1.0}).svg)
    write_report(tmp_path / "r.html", [Section("T", chart=chart)], title="t")
    page = Page(tmp_path / "r.html")
    assert page.tags.index("details") < page.tags.index("table")
    assert {"unique-stage", "41.50"} <= set(page.texts)


def test_what_is_empty_is_left_out(tmp_path: Path) -> None:
    write_report(tmp_path / "r.html", [Section("Only a heading")], title="t")
    assert not {"p", "dl", "figure", "table", "footer", "pre", "details"} & set(Page(tmp_path / "r.html").tags)


def test_a_report_replaces_the_one_before(tmp_path: Path) -> None:
    for title in ("first", "second"):
        write_report(tmp_path / "sub" / "r.html", [], title=title)
    assert "second" in (tmp_path / "sub" / "r.html").read_text(encoding="utf-8")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        write_report(tmp_path, [], title="t")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "\N{EN DASH}"), (math.nan, "\N{EN DASH}"), (math.inf, "inf"), (True, "True"), ("text", "text"),
        (0, "0"), (1234567, "1,234,567"), (93.71234, "93.71"), (1234567.8, "1,234,568"),
        (0.00012346, "0.0001235"), (-0.5, "-0.5000"), (1234.0, "1234"), (93.0, "93.00"),
        (Decimal("41.1230"), "41.1230"), (Decimal("nan"), "\N{EN DASH}"),
    ],
)  # fmt: skip
def test_values_are_shown_as_people_read_them(value: str | int | float | Decimal | None, text: str) -> None:
    assert shown(value) == text
