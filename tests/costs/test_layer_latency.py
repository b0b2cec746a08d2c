"""Latencies of networks from those of their layers; the published tables are looked at where they are there."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from metad2a.costs.latency_model import LatencyModel, LatencyPredictor
from metad2a.costs.layer_latency import LayerLatency, _fixed_keys, _searched_keys, read_latency_table
from metad2a.errors import DataError
from metad2a.runtime import numpy_rng
from metad2a.search.constraints import Costs, Limits
from metad2a.spaces.mobilenetv3 import MobileNetV3, from_official
from metad2a.spaces.nasbench201 import NASBench201

SPACE = MobileNetV3()


def built_layers(resolution: int, width: int) -> dict[str, float]:
    """Return names and multiply-adds of all layers, found by building networks."""
    found: dict[str, float] = {}
    for kernel in (3, 5, 7):
        for expansion in (3, 4, 6):
            arch = from_official({"ks": [kernel] * 20, "e": [expansion] * 20, "d": [4] * 5})
            found |= _layers(SPACE.build(arch, 1000, width=width), resolution)
    return found


def table_of(resolution: int, width: int = 120) -> dict[str, float]:
    """Return as many microseconds for each layer as its name has letters."""
    keys = [*_fixed_keys(width, resolution), *_searched_keys(width, resolution)]
    return {key: len(key) / 1e3 for key in keys}


def _layers(net: nn.Module, resolution: int) -> dict[str, float]:
    """Return names and multiply-adds of the layers of a network, from what goes through them."""
    shapes: dict[nn.Module, tuple[torch.Size, torch.Size]] = {}
    hooks = [
        module.register_forward_hook(lambda one, given, made: shapes.update({one: (given[0].shape, made.shape)}))
        for module in net.modules()
    ]
    with torch.no_grad():
        net.eval()(torch.zeros(1, 3, resolution, resolution))
    for hook in hooks:
        hook.remove()
    work = {
        one: shapes[one][1].numel() * one.weight[0].numel()
        for one in net.modules()
        if isinstance(one, nn.Conv2d | nn.Linear)
    }

    def total(part: nn.Module) -> float:
        return float(sum(work.get(one, 0) for one in part.modules()))

    def size(shape: torch.Size) -> str:
        return f"{shape[2]}x{shape[3]}x{shape[1]}"

    def between(part: nn.Module) -> str:
        return f"input:{size(shapes[part][0])}-output:{size(shapes[part][1])}"

    head = net.head
    found = {
        f"Conv-{between(net.stem)}": total(net.stem),
        f"Conv_1-{between(head.conv)}": total(head.conv),
        f"AvgPool2D-{between(head.pool)}": 0.0,
        f"Conv_2-{between(head.mix)}": total(head.mix),
        f"Logits-input:1x1x{net.classifier.in_features}-output:1000": total(net.classifier),
    }
    for block in [net.first, *(block for stage in net.stages for block in stage)]:
        conv = block.body.depthwise.conv
        swish = isinstance(block.body.depthwise.act, nn.Hardswish)
        key = (
            f"expanded_conv-{between(block)}-expand:{conv.in_channels}-kernel:{conv.kernel_size[0]}"
            f"-stride:{conv.stride[0]}-idskip:{int(block.shortcut)}-se:{int(hasattr(block.body, 'squeeze'))}"
            f"-hs:{int(swish)}"
        )
        found[key] = total(block)
    return found


def test_a_network_takes_as_long_as_its_layers() -> None:
    resolution, width = 19, 120  # small images: every layer is really run
    latency = LayerLatency.of(built_layers(resolution, width), resolution, name="table")
    archs = SPACE.sample(50, numpy_rng("archs"))
    assert isinstance(latency, LatencyPredictor)
    assert (latency.width, latency.resolution) == (width, resolution)
    np.testing.assert_allclose(latency.predict(archs), SPACE.flops(archs, 1000, resolution, width=width))
    assert latency.predict([]).shape == (0,)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def table(*, without: str = "", columns: str = "resolution,layer,ms", value: str = "") -> Path:
        rows = [
            f"{pixels},{layer},{value or ms}"
            for pixels in (160, 224)
            for layer, ms in table_of(pixels).items()
            if layer != without
        ]
        path = tmp_path / "phone.csv"
        path.write_text("\n".join([columns, *rows]))
        return path

    return table


def test_a_table_is_read_at_the_resolution_of_the_space(write: Callable[..., Path]) -> None:
    path, archs = write(), SPACE.sample(5, numpy_rng("archs"))
    latency = read_latency_table(path, SPACE)
    assert isinstance(latency, LayerLatency)
    np.testing.assert_allclose(latency.layer_ms, LayerLatency.of(table_of(224), 224, name="table").layer_ms)
    small = LayerLatency.read(path, SPACE, resolution=160)
    expected = LayerLatency.of(table_of(160), 160, name="table").predict(archs)
    np.testing.assert_allclose(small.predict(archs), expected)
    assert (latency.predict(archs) > expected).all()  # larger images have longer names


def test_limits_know_such_latencies(write: Callable[..., Path]) -> None:
    costs = Costs(SPACE, 10, read_latency_table(write(), SPACE))
    archs = [from_official({"ks": [k] * 20, "e": [e] * 20, "d": [d] * 5}) for k, e, d in ((3, 3, 2), (7, 6, 4))]
    least, most = costs.of("latency_ms", archs)
    assert Limits(max_latency_ms=(least + most) / 2).admits(costs, archs).tolist() == [True, False]


def test_a_table_of_architectures_is_read_as_before(tmp_path: Path) -> None:
    cells = NASBench201()
    archs = cells.sample(5, numpy_rng("cells"))
    (tmp_path / "phone.csv").write_text(
        "arch,ms\n" + "\n".join(f"{cells.format(a)},{i + 1}" for i, a in enumerate(archs))
    )
    assert isinstance(read_latency_table(tmp_path / "phone.csv", cells), LatencyModel)


def test_a_lacking_layer_is_named(write: Callable[..., Path]) -> None:
    layer = "expanded_conv-input:14x14x96-output:14x14x136-expand:384-kernel:5-stride:1-idskip:0-se:1-hs:1"
    with pytest.raises(
        DataError, match=rf"lacks 1 of the layers of networks of width 120 at 224 .*{re.escape(layer)}"
    ):
        read_latency_table(write(without=layer), SPACE)
    with pytest.raises(DataError, match="Logits-input:1x1x1536-output:1000"):
        read_latency_table(write(without="Logits-input:1x1x1536-output:1000"), SPACE)


@pytest.mark.parametrize(
    ("change", "resolution", "words"),
    [
        ({}, 192, "no layers at 192 pixels a side; it has those at 160, 224"),
        ({"value": "fast"}, None, "line 2: resolution and ms must be numbers"),
        ({"value": "nan"}, None, "line 2: nan ms are no latency of a layer"),
        ({"value": "-0.5"}, None, "line 2: -0.5 ms are no latency of a layer"),
        ({"value": "inf"}, None, "line 2: inf ms are no latency of a layer"),
        ({"columns": "pixels,layer,ms"}, None, "must have the columns resolution, layer, ms"),
    ],
)
def test_what_is_wrong_is_said(
    change: dict[str, str], resolution: int | None, words: str, write: Callable[..., Path]
) -> None:
    with pytest.raises(DataError, match=words):
        LayerLatency.read(write(**change), SPACE, resolution=resolution)


def test_a_table_without_rows(tmp_path: Path) -> None:
    (tmp_path / "phone.csv").write_text("resolution,layer,ms\n")
    with pytest.raises(DataError, match=r"phone\.csv has no layers\. Give a table"):
        read_latency_table(tmp_path / "phone.csv", SPACE)


def test_no_such_file_and_no_such_space(write: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read"):
        LayerLatency.read(tmp_path / "none.csv", SPACE)
    with pytest.raises(DataError, match="cannot read"):
        read_latency_table(tmp_path / "none.csv", SPACE)
    with pytest.raises(DataError, match="layers of 'mobilenetv3', not of 'nasbench201'"):
        read_latency_table(write(), NASBench201())


def test_the_published_tables(shared_data: Path) -> None:
    archs = [from_official({"ks": [k] * 20, "e": [e] * 20, "d": [d] * 5}) for k, e, d in ((3, 3, 2), (7, 6, 4))]
    for pixels in (160, 176, 192, 208, 224):
        path = shared_data / "ofa" / "note10" / f"{pixels}_lookup_table.yaml"
        if not path.is_file():
            pytest.skip(f"no {path}")
        rows = yaml.safe_load(path.read_text())
        latency = LayerLatency.of({layer: facts["mean"] for layer, facts in rows.items()}, pixels, name=path.name)
        assert latency.width == 120
        least, most = latency.predict(archs)
        # The largest has every layer of the table with its largest kernel and expansion, layers 2 to 4 alike.
        assert 9 < least < 20
        assert 45 < most < 95
