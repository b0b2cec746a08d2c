"""The networks as Python code: equal to the built ones, formatted, and readable."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from metad2a.errors import ArchitectureError
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

CELLS, CHAINS = NASBench201(), MobileNetV3()
RUFF = shutil.which("ruff") or str(Path(sys.executable).with_name("ruff"))


def written(space: SearchSpace, arch: Architecture, num_classes: int, **scale: int) -> Any:
    names: dict[str, Any] = {}
    exec(space.source(arch, num_classes, **scale), names)  # noqa: S102
    return names["Network"]


def check_equal(space: SearchSpace, arch: Architecture, side: int, **scale: int) -> None:
    """Check that the written network is the built one: weights by one seed, outputs, gradients, statistics."""
    torch.manual_seed(0)
    built = space.build(arch, 3, **scale).double()
    torch.manual_seed(0)
    copy = written(space, arch, 3, **scale)().double()
    weights = built.state_dict()
    assert list(copy.state_dict()) == list(weights)
    assert all(torch.equal(value, weights[name]) for name, value in copy.state_dict().items())
    x = torch.randn(4, 3, side, side, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for network in (built, copy):
        network(x).pow(2).sum().backward()
    for (name, weight), same in zip(built.named_parameters(), copy.parameters(), strict=True):
        gradient = torch.zeros_like(same) if same.grad is None else same.grad
        torch.testing.assert_close(gradient, weight.grad, atol=1e-9, rtol=1e-6, msg=name)
    # What normalisation has learned in either serves both.
    torch.testing.assert_close(copy.eval()(x), built.eval()(x))
    built.load_state_dict(copy.state_dict())
    torch.testing.assert_close(copy(x), built(x))


@given(st.tuples(*[st.integers(0, 4)] * 6))
@example((0,) * 6)  # nothing at all
@example((0, 0, 3, 0, 0, 3))  # convolutions of zeros
@example((3, 3, 3, 0, 0, 0))  # convolutions that lead nowhere
@example((4, 4, 4, 4, 4, 4))
@example((0, 1, 2, 4, 3, 1))
@settings(max_examples=25)
def test_written_cells_are_the_built_ones(choices: tuple[int, ...]) -> None:
    check_equal(CELLS, Architecture("nasbench201", choices), side=7, channels=2, cells=2)


@pytest.mark.parametrize("choices", [[0] * 45, [2] * 45, None])
def test_written_chains_are_the_built_ones(choices: list[int] | None) -> None:
    [arch] = (
        [Architecture("mobilenetv3", tuple(choices))] if choices else CHAINS.sample(1, np.random.default_rng(0))
    )
    check_equal(CHAINS, arch, side=33, width=10)
    check_equal(CHAINS, arch, side=9, width=10, downsampling=4)


@pytest.mark.parametrize(
    ("space", "scales"),
    [(CELLS, [{}, {"channels": 128, "cells": 20}]), (CHAINS, [{}, {"width": 120}, {"width": 1000}])],
)
def test_written_networks_are_formatted(space: SearchSpace, scales: list[dict[str, int]], tmp_path: Path) -> None:
    archs = space.sample(20, np.random.default_rng(1))
    archs += [Architecture("nasbench201", (option,) * 6) for option in range(5)] if space is CELLS else []
    for number, arch in enumerate(archs):
        for place, scale in enumerate(scales):
            code = space.source(arch, 10**number % 7919, **scale)
            assert "@" not in code
            (tmp_path / f"network{number}_{place}.py").write_text(code)
    for command in (["format", "--check", "--diff"], ["check", "--ignore", "F401"]):
        done = subprocess.run(
            [RUFF, *command, "--isolated", "--no-cache", str(tmp_path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_only_what_a_cell_does_is_written() -> None:
    arch = CELLS.parse("|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_1x1~2|")
    code = CELLS.source(arch, 4)
    cell = code[code.index("class Cell") : code.index("def stage")]
    assert cell.rstrip().endswith(
        "        edge = self.edges\n"
        "        node2 = torch.zeros_like(node0)\n"
        '        node3 = node0 + edge["2_to_3"](node2)\n'
        "        return node3"
    )
    assert cell.count("No output depends on this edge") == 1
    assert "num_classes: int = 4" in code


def test_a_space_that_cannot_write_its_networks_says_so() -> None:
    class Mute(NASBench201):
        name = "mute"
        source = SearchSpace.source

    with pytest.raises(ArchitectureError, match=r"space 'mute' cannot write .* no method source\(\)"):
        Mute().source(Architecture("mute", (0,) * 6), 2)


def test_impossible_networks_are_not_written() -> None:
    for space in (CELLS, CHAINS):
        [arch] = space.sample(1, np.random.default_rng(0))
        with pytest.raises(ArchitectureError, match="num_classes=0"):
            space.source(arch, 0)
        with pytest.raises(ArchitectureError, match="unknown scale option"):
            space.source(arch, 2, colour=1)
        with pytest.raises(ArchitectureError, match="belongs to the space"):
            space.source(Architecture("another", arch.choices), 2)
