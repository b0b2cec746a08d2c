"""What networks are built for: told, or known by what is true of one scale alone."""

from dataclasses import dataclass, field

import pytest

from metad2a.errors import ArchitectureError, ConfigError
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.spaces.scale import NetworkScale, agreed_scale, has_scale

SPACE = MobileNetV3()


@dataclass
class Known:
    """Stands for a table or an oracle."""

    resolution: int = 16
    scale: dict[str, int] = field(default_factory=lambda: {"width": 35, "downsampling": 8})


def test_without_words_it_is_the_spaces_own() -> None:
    scale = agreed_scale(SPACE, knowing={"a table": object(), "none": None})
    assert scale == NetworkScale(224, {})
    assert not scale.differs(SPACE)
    assert NetworkScale(192).differs(SPACE)
    assert NetworkScale(224, {"width": 120}).differs(SPACE)


def test_what_is_known_need_not_be_told() -> None:
    known = NetworkScale(16, {"width": 35, "downsampling": 8})
    assert agreed_scale(SPACE, knowing={"it": Known()}) == known
    assert agreed_scale(SPACE, scale={"width": 35}, resolution=16, knowing={"it": Known()}) == known
    assert str(known) == "width 35, downsampling 8, 16 pixels a side"
    told = agreed_scale(NASBench201(), scale={"channels": 8}, resolution=24)
    assert told == NetworkScale(24, {"channels": 8})


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"scale": {"width": 100}}, r"it is for networks of width=35, but the search is for width=100\. Leave out"),
        ({"resolution": 224}, "it is for networks of resolution=16, but the search is for resolution=224"),
        ({"scale": {"downsampling": 32}}, "downsampling=8, but the search is for downsampling=32"),
    ],
)
def test_contradictions_name_both(told: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        agreed_scale(SPACE, **told, knowing={"it": Known()})  # type: ignore[arg-type]


def test_two_that_know_must_agree() -> None:
    table = Known(224, {"width": 120})
    with pytest.raises(ConfigError, match="the table is for networks of width=120, but the oracle is for width=35"):
        agreed_scale(SPACE, knowing={"the oracle": Known(), "the table": table})
    agreed = agreed_scale(SPACE, knowing={"the oracle": Known(224, {"width": 120}), "the table": table})
    assert agreed == NetworkScale(224, {"width": 120})


def test_a_scale_that_cannot_be_is_refused() -> None:
    with pytest.raises(
        ArchitectureError, match=r"unknown scale option for 'mobilenetv3': 'wdth'\. Did you mean 'width'"
    ):
        agreed_scale(SPACE, scale={"wdth": 120})
    with pytest.raises(ArchitectureError, match="downsampling=7"):
        agreed_scale(SPACE, scale={"downsampling": 7})
    with pytest.raises(ArchitectureError, match="images of 0 pixels"):
        agreed_scale(SPACE, resolution=0)
    with pytest.raises(ArchitectureError, match="unknown scale option for 'nasbench201'"):
        agreed_scale(NASBench201(), scale={"width": 120})


def test_whether_a_space_has_a_scale() -> None:
    assert has_scale(SPACE, {"width": 35, "downsampling": 8})
    assert has_scale(SPACE, {})
    assert has_scale(NASBench201(), {"channels": 8})
    assert not has_scale(SPACE, {"channels": 8})
    assert not has_scale(SPACE, {"downsampling": 7})
