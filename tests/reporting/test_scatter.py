"""The plot whose points say what they are."""

import re
from xml.etree import ElementTree

import pytest

from metad2a.reporting.figures import Table
from metad2a.reporting.scatter import HEIGHT, WIDTH, Spot, scatter

SVG = "{http://www.w3.org/2000/svg}"
TABLE = Table(("rank",), [(1,), (3,)])
SPOTS = [
    Spot(100.0, 50.0, "rank 3: small & cheap", "|a~0|+|b~0|", "front"),
    Spot(300.0, 90.0, "rank 1", "long " * 60, "front"),
    Spot(200.0, 80.0, "rank 2", "<d>", "top"),
    Spot(250.0, 60.0, "rank 4", "e"),
]


def drawn(spots: list[Spot] = SPOTS) -> ElementTree.Element:
    return ElementTree.fromstring(scatter(spots, cost="parameters", table=TABLE).svg)  # noqa: S314 - our own


def test_every_point_has_its_words() -> None:
    points = [group for group in drawn().iter(f"{SVG}g") if group.get("class") == "point"]
    words = {"".join(text.itertext()) for point in points for text in point.iter(f"{SVG}text")}
    assert len(points) == 4
    assert {spot.title for spot in SPOTS} <= words
    assert "<d>" in words
    longest = max(len(list(point.iter(f"{SVG}text"))) for point in points)
    assert longest == 4  # a title and three lines, whatever the length
    assert all(float(text.get("y", 0)) < 84 for point in points for text in point.iter(f"{SVG}text"))


def test_the_keyboard_reaches_what_counts() -> None:
    reached = [group.get("aria-label") for group in drawn().iter(f"{SVG}g") if group.get("tabindex") == "0"]
    assert reached == ["rank 2", "rank 3: small & cheap", "rank 1"]  # in the order of drawing, the front above


def test_points_lie_where_their_numbers_are() -> None:
    svg = scatter(SPOTS, cost="parameters", table=TABLE).svg
    corners = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]*)"', svg)[1].split()]  # type: ignore[index]
    assert len(corners) == 2
    (left, low), (right, high) = corners
    assert 0 < left < right < WIDTH
    assert 0 < high < low < HEIGHT
    other = re.search(r'<circle class="mark" cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert other is not None
    assert float(other[1]) == pytest.approx(left + (right - left) * 150 / 200, abs=0.1)
    assert float(other[2]) == pytest.approx(low + (high - low) * 10 / 40, abs=0.1)


def test_equal_points_can_be_drawn() -> None:
    svg = scatter([Spot(5.0, 50.0, "one", "", "front")] * 2, cost="latency, ms", table=TABLE).svg
    assert "nan" not in svg.lower()
    assert "latency, ms" in svg
