"""What a comparison means where a space, a checkpoint or a database is not named."""

from collections.abc import Callable
from pathlib import Path

import pytest

from metad2a.errors import CheckpointError, ConfigError, UnknownNameError
from metad2a.evaluation.compare.defaults import Defaults, references
from metad2a.evaluation.compare.learned_method import LearnedMethod
from metad2a.evaluation.compare.opening import Settings, open_grid
from metad2a.evaluation.compare.specs import open_methods
from metad2a.models.checkpoint import Checkpoint
from metad2a.search import shipped_checkpoints

COMPACT = "mobilenetv3-compact"


@pytest.mark.parametrize(
    ("fields", "space", "checkpoint", "database"),
    [
        ({}, "nasbench201", "nasbench201", "open"),
        ({"space": COMPACT}, COMPACT, "mobilenetv3", "inherited"),
        ({"space": "mobilenetv3"}, "mobilenetv3", "mobilenetv3", "inherited"),
        ({"checkpoint": "mobilenetv3"}, COMPACT, "mobilenetv3", "inherited"),
        ({"database": "inherited"}, COMPACT, "mobilenetv3", "inherited"),
        ({"space": "mobilenetv3", "database": "inherited"}, "mobilenetv3", "mobilenetv3", "inherited"),
        ({"checkpoint": ["nasbench201-metad2a"]}, "nasbench201", "nasbench201-metad2a", "open"),
        ({"database": "demo"}, "nasbench201", "nasbench201", "demo"),
    ],
)
def test_what_is_not_named(fields: dict[str, str], space: str, checkpoint: str, database: str) -> None:
    defaults = Defaults(**fields)  # type: ignore[arg-type]
    assert (defaults.meant, defaults.files_of(""), defaults.database_of("")) == (space, [checkpoint], database)
    assert (defaults.files_of("a+b"), defaults.database_of("mine")) == (["a", "b"], "mine")


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        (
            {"space": "nasbench201", "checkpoint": "mobilenetv3"},
            ConfigError,
            f"space=nasbench201 is of the search space 'nasbench201', but checkpoint=mobilenetv3 is of '{COMPACT}'",
        ),
        (
            {"checkpoint": "mobilenetv3", "database": "demo"},
            ConfigError,
            f"checkpoint=mobilenetv3 is of the search space '{COMPACT}', but database=demo is of 'nasbench201'",
        ),
        ({"space": "nasbench20"}, UnknownNameError, "Did you mean 'nasbench201'?"),
        ({"checkpoint": "nasbench20"}, UnknownNameError, "Did you mean 'nasbench201'?"),
    ],
)
def test_what_contradicts_itself(fields: dict[str, str], error: type[Exception], words: str) -> None:
    with pytest.raises(error) as caught:
        _ = Defaults(**fields).meant  # type: ignore[arg-type]
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "searched"),
    [("random", "mobilenetv3"), ("metad2a", COMPACT), ("searcher:evolution?first=metad2a", COMPACT)],
)
def test_the_space_is_that_of_the_models(method: str, searched: str, ofa_predictor: Path, tmp_path: Path) -> None:
    """As `search --space mobilenetv3`, which finds the checkpoint of another code of these networks."""
    settings = Settings(
        methods=("flops", method),
        datasets=("embedded:digits",),
        oracles=(f"{ofa_predictor}:224",),
        kept=str(tmp_path),
        sample=3,
        defaults=Defaults(space="mobilenetv3", device="cpu"),
    )
    [trial] = open_grid(settings).trials
    assert trial.problem.space.name == trial.judge.archs[0].space == searched


def test_nothing_is_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_checkpoint: Callable[..., Checkpoint]
) -> None:
    make_checkpoint().save(tmp_path / "data/pretrained/cells.safetensors")
    monkeypatch.setattr(shipped_checkpoints, "shipped", lambda *parts: tmp_path.joinpath(*parts))
    assert Defaults().files_of("") == ["cells"]
    assert Defaults().database_of("") is None, "it does not say what it has learned from"
    alone = Defaults(space="mobilenetv3", device="cpu")
    assert [method.label for method in open_methods(["random", "flops"], alone)] == ["random", "flops"]
    with pytest.raises(CheckpointError, match=r"'mobilenetv3' is shipped; there are cells \(for 'nasbench201'\)"):
        open_methods(["metad2a"], alone)
    with pytest.raises(ConfigError, match=r"no database of the space 'mobilenetv3' is shipped\. Give database="):
        open_methods(["static"], alone)
    [method] = open_methods(["metad2a"], Defaults(device="cpu"))
    assert isinstance(method, LearnedMethod)


def test_checkpoints_by_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert references("nasbench201") == ["nasbench201"]
    assert references("a.safetensors+b.safetensors") == ["a.safetensors", "b.safetensors"]
    assert references(["a+b.safetensors"]) == ["a+b.safetensors"]
    Path("a+b.safetensors").write_bytes(b"")
    assert references("a+b.safetensors") == ["a+b.safetensors"], "there is such a file"
    for wrong in ("", [], ["a", ""], {"a": "b"}, None, "a+"):
        with pytest.raises(ConfigError, match=r"give NAME or FILE, or several as A\+B or \[A,B\]"):
            references(wrong)
