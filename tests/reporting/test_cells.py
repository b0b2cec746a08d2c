import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch

from metad2a.errors import ArchitectureError
from metad2a.reporting.cells import CellDrawing, cell_from_graph, cell_from_text, draw_cell, kind_of
from metad2a.spaces.base import ArchBatch

SVG = "{http://www.w3.org/2000/svg}"
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|none~2|"


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - what we just drew


def words(svg: str) -> list[str]:
    return [element.text or "" for element in parse(svg).iter(f"{SVG}text")]


def inside(svg: str) -> bool:
    """Whether every coordinate lies in the picture."""
    root = parse(svg)
    _, _, width, height = (float(part) for part in root.attrib["viewBox"].split())
    places = [(float(e.attrib["x"]), float(e.attrib["y"])) for e in root.iter(f"{SVG}text")]
    for shape in root.iter(f"{SVG}polygon"):
        places += [tuple(map(float, pair.split(","))) for pair in shape.attrib["points"].split()]  # type: ignore[misc]
    return all(0 <= x <= width and 0 <= y <= height for x, y in places)


def test_a_nasbench201_text_becomes_four_vertices_and_six_edges() -> None:
    cell = cell_from_text(NB201)
    assert cell.nodes == ("in", "1", "2", "out")
    assert cell.edges == (
        (0, 1, "nor_conv_3x3"), (0, 2, "none"), (1, 2, "skip_connect"),
        (0, 3, "avg_pool_3x3"), (1, 3, "nor_conv_1x1"), (2, 3, "none"),
    )  # fmt: skip


@pytest.mark.parametrize("text", ["", "|conv|", "|conv~1|", "|a~0|+|b~x|", "|~0|", "rubbish"])
def test_what_is_no_cell_is_refused(text: str) -> None:
    with pytest.raises(ArchitectureError, match="cannot draw"):
        cell_from_text(text)


def test_a_cell_shows_every_edge_with_its_operation() -> None:
    svg = draw_cell(cell_from_text(NB201))
    assert sorted(words(svg)) == sorted(
        ["in", "1", "2", "out", "conv 3\u00d73", "none", "skip", "avg pool 3\u00d73", "conv 1\u00d71", "none"]
    )
    assert len(list(parse(svg).iter(f"{SVG}path"))) == 6
    assert inside(svg)


def test_kinds_differ_in_colour_and_in_dash_or_width() -> None:
    names = ["none", "skip_connect", "avg_pool_3x3", "nor_conv_3x3", "mystery"]
    assert [kind_of(name) for name in names] == ["none", "skip", "pool", "conv", "other"]
    looks = set()
    for name in names:
        (path,) = parse(draw_cell(CellDrawing(("a", "b"), ((0, 1, name),)))).iter(f"{SVG}path")
        looks.add((path.attrib["stroke-dasharray"], path.attrib["stroke-width"]))
        assert path.attrib["stroke"]
    assert len(looks) == len(names)


def test_no_operation_is_drawn_faint_and_first() -> None:
    groups = list(parse(draw_cell(cell_from_text(NB201))).iter(f"{SVG}g"))
    assert ["opacity" in group.attrib for group in groups] == [True, True, False, False, False, False]


def test_any_graph_is_drawn_from_its_tensors() -> None:
    types = torch.tensor([[0, 2, 3, 1, 0], [0, 1, 0, 0, 0]])
    edges = torch.zeros(2, 5, 5, dtype=torch.bool)
    for u, v in ((0, 1), (1, 2), (2, 3), (0, 2), (1, 3)):
        edges[0, u, v] = True
    edges[1, 0, 1] = True
    mask = torch.tensor([[True, True, True, True, False], [True, True, False, False, False]])
    graphs, names = ArchBatch(types, edges, mask), ["input", "output", "conv_3x3", "max_pool"]
    cell = cell_from_graph(graphs, 0, names)
    assert cell.nodes == ("input", "conv_3x3", "max_pool", "output")
    assert cell.edges == ((0, 1, ""), (0, 2, ""), (1, 2, ""), (1, 3, ""), (2, 3, ""))
    assert cell_from_graph(graphs, 1, names) == CellDrawing(("input", "output"), ((0, 1, ""),))
    svg = draw_cell(cell)
    assert words(svg) == ["input", "conv 3\u00d73", "max pool", "output"]
    assert inside(svg)


def test_hostile_names_stay_names() -> None:
    name = '<script>alert("x")</script>&\x00\n'
    for cell in (CellDrawing((name, "b"), ()), CellDrawing(("a", "b"), ((0, 1, name),))):
        svg = draw_cell(cell)
        assert "<script" not in svg
        assert any('<script>alert("x")</script>&' in word for word in words(svg))


def test_a_drawing_can_be_repeated_in_a_page() -> None:
    svg = draw_cell(cell_from_text(NB201))
    assert svg == draw_cell(cell_from_text(NB201))
    assert not any("id" in element.attrib or "style" in element.attrib for element in parse(svg).iter())


def test_real_architectures_are_drawn(shared_data: Path) -> None:
    with (shared_data / "nasbench201" / "nasbench201_cifar10.csv").open(encoding="utf-8") as file:
        lines = [line for line, _ in zip(file, range(60), strict=False)]
    texts = [field for line in lines for field in line.split(",") if field.startswith("|")]
    assert len(texts) >= 59
    for text in texts:
        assert inside(draw_cell(cell_from_text(text)))
