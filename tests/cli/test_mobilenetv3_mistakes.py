"""What commands say of architectures, limits, tables and supernets that cannot be, in the MobileNetV3 space."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metad2a.costs.layer_latency import _fixed_keys, _searched_keys
from metad2a.data.features import FeatureSet
from metad2a.fitting.network import seeded
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.models.checkpoint import Checkpoint
from metad2a.spaces.networks.supernet import Supernet

Run = Callable[..., Any]
ARCH = "+".join(["d2:k3e3-k5e4-~k7e6-~k3e3"] * 5)
LAYERS = list(dict.fromkeys([*_fixed_keys(120, 224), *_searched_keys(120, 224)]))


@pytest.fixture
def here(tmp_path: Path, features: FeatureSet, make_mobile_checkpoint: Callable[..., Checkpoint]) -> Path:
    features.save(tmp_path / "images.safetensors")
    make_mobile_checkpoint("mobilenetv3").save(tmp_path / "mobilenetv3.safetensors")
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (20, 8, 8, 3), dtype=np.uint8), np.arange(20) % 2
    np.savez(tmp_path / "images.npz", x=pixels, y=labels, classes=np.array(["a", "b"]))
    with seeded(0):
        net = Supernet(2, width=10, downsampling=8)
    TrainedSupernet(net, ("a", "b"), 8, (127.0,) * 3, (64.0,) * 3).save(tmp_path / "supernet.safetensors")
    for name, layers in (("phone", LAYERS), ("torn", LAYERS[:-1])):
        rows = ["resolution,layer,ms", *(f"224,{layer},0.5" for layer in layers)]
        (tmp_path / f"{name}.csv").write_text("\n".join(rows))
    return tmp_path


def search() -> tuple[object, ...]:
    return ("search", "images.safetensors", "--checkpoint", "mobilenetv3.safetensors", "--candidates", 4)


def test_impossible_limits_say_what_is_possible(run: Run, here: Path) -> None:
    run(*search(), "--max-flops", 1).refused(
        "no architecture of 'mobilenetv3' meets max_flops=1",
        # Those of 1,000 classes (tests/spaces/test_mobilenetv3.py) without the rows of 995 in the classifier.
        f"With 5 classes the smallest has {3_410_792 - 995 * 1281:,} parameters",
        f"{121_278_672 - 995 * 1280:,} multiply-adds",
        "Raise the limit",
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--max-params", "-3"), ("max_params=-3", "not a positive number")),
        (("--latency-table", "phone.csv", "--max-latency-ms", 1), ("meets max_latency_ms=1", "8.00 ms")),
        (("--latency-table", "torn.csv"), ("torn.csv lacks 1 of the layers", f"'{LAYERS[-1]}'", "of all layers")),
        (
            (
                "--queries",
                1,
                "--oracle",
                "supernet.safetensors",
                "--oracle-column",
                "images.npz",
                "--scale",
                "width=50",
            ),
            ("--oracle supernet.safetensors is for networks of width=10", "width=50"),
        ),
    ],
)
def test_a_search_that_cannot_be(
    run: Run, here: Path, arguments: tuple[object, ...], words: tuple[str, ...]
) -> None:
    run(*search(), *arguments).refused(*words)


@pytest.mark.parametrize(
    ("arch", "words"),
    [
        (ARCH.replace("k5", "k9", 1), ("character 10 (stage 1) expected one of 3, 5, 7, found '9",)),
        (ARCH.replace("d2", "d5", 1), ("character 2 (stage 1) expected one of 2, 3, 4, found '5",)),
        (ARCH.replace("e4", "e5", 1), ("character 12 (stage 1) expected one of 3, 4, 6, found '5",)),
        (ARCH[: ARCH.rindex("+")], ("(stage 4) expected '+d', found the end",)),
    ],
)
def test_unknown_decisions_are_found_in_the_text(run: Run, here: Path, arch: str, words: tuple[str, ...]) -> None:
    for space in ("mobilenetv3", "mobilenetv3-compact"):
        told = (*words, f"no architecture of '{space}'", "such as d3:k3e4-k5e6-k7e3-~k3e3")
        run("export", arch, "net", "--space", space, "--num-classes", 2).refused(*told)
    assert not (here / "net").exists()


def test_the_space_of_an_architecture_is_told(run: Run, here: Path) -> None:
    arch = ARCH.replace("~k7", "~k3")
    run("export", arch, "net", "--num-classes", 2).refused(
        "is of the space 'mobilenetv3', not 'nasbench201': give --space mobilenetv3"
    )
    run("fit-network", arch, "images.npz", "init=supernet.safetensors").refused("give space=mobilenetv3")
    cell = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    run("fit-network", cell, "images.npz", "space=mobilenetv3").refused("give space=nasbench201")


def test_a_recipe_for_another_space(run: Run, here: Path) -> None:
    run("fit-network", ARCH, "images.npz", "space=mobilenetv3").refused(
        "recipe 'short': unknown scale option for 'mobilenetv3': 'channels'",
        "'~recipe.scale' leaves the size to the space",
        "Recipes for this space: finetune, finetune_short, supernet16.",
    )


def test_a_supernet_of_another_width(run: Run, here: Path) -> None:
    build = ("build-database", "space=mobilenetv3", "recipe=inherited", "recipe.supernet=supernet.safetensors")
    images = ("label_source=images", "label_source.mine.images=images.npz", "label_source.mine.source=mine")
    licence = "label_source.mine.licence=none"
    run(*build, *images, licence, "+recipe.scale.width=100").refused("networks have width 10, not 100")
