"""metad2a evaluate."""

import csv
import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from metad2a.data.features import FeatureSet
from metad2a.oracles.ofa import AccuracyPredictor
from metad2a.spaces.base import Architecture
from metad2a.spaces.mobilenetv3 import MobileNetV3
from metad2a.spaces.nasbench201 import NASBench201

Run = Callable[..., Any]
BUDGETS = ["1", "2", "5", "10", "30", "100", "500"]
NUMBERS = ["top1", "regret", "kendall_generated", "spearman_generated", "kendall_all", "kendall_top10pct"]


@pytest.fixture(scope="module")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a table of the whole space in which more multiply-adds are better."""
    space = NASBench201()
    archs = list(space.enumerate())
    flops = space.flops(archs, 3, 32)
    path = tmp_path_factory.mktemp("oracle") / "it's a, table = [x].csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arch", "by flops"])
        writer.writerows(zip(map(space.format, archs), 100 * flops / flops.max(), strict=True))
    return path


@pytest.fixture(scope="module")
def both(trained: dict[str, Path]) -> str:
    return (
        "checkpoint=[" + ",".join(f"'{path / 'checkpoints/best.safetensors'}'" for path in trained.values()) + "]"
    )


def test_the_json_keeps_the_contract(run: Run, tmp_path: Path, npz: Path, oracle: Path, both: str) -> None:
    images = shutil.copy(npz, tmp_path / "my images, 'new' = (1).npz")
    files = ["json=out/a, b.json", "html=out/report.html"]
    outcome = run(
        "evaluate",
        f"dataset={images}",
        f"oracle={oracle}",
        "oracle_column=by flops",
        both,
        "seeds=2",
        "candidates=40",
        *files,
    ).done()
    found = json.loads((tmp_path / "out/a, b.json").read_text())
    assert set(found) >= {"dataset", "oracle", "runs", "metrics", "spread", "baselines"}
    assert (found["dataset"], found["runs"]) == ("my images, 'new' = (1)", 2)
    metrics, spread = found["metrics"], found["spread"]
    assert set(metrics) == set(spread)
    assert set(NUMBERS) <= set(metrics)
    assert all(isinstance(metrics[name], float) and spread[name] >= 0 for name in NUMBERS)
    assert list(metrics["best_of"]) == BUDGETS
    rising = [metrics["best_of"][budget] for budget in BUDGETS]
    assert rising == sorted(rising)
    assert rising[0] == metrics["top1"] == pytest.approx(100 - metrics["regret"])
    assert set(found["baselines"]) >= {"random", "params", "flops", "static"}
    # The table is the baseline's own order, so that it must be perfect and nothing else can be better.
    assert found["baselines"]["flops"]["top1"] == 100
    assert found["baselines"]["flops"]["kendall_all"] == pytest.approx(1)
    printed = {cells[1].strip(): cells for line in outcome.out.splitlines() if len(cells := line.split("│")) > 2}
    assert "±" in printed["MetaD2A"][6]
    assert [cell.strip() for cell in printed["MetaD2A"][7:9]] == ["", ""], "of 40 there are no 100, nor 500"
    assert printed["flops"][8].strip() == "100.00"
    page = (tmp_path / "out/report.html").read_text()
    assert "metad2a evaluate" in page
    assert "kendall_all" in page


def test_an_oracle_that_lists_nothing(
    run: Run, tmp_path: Path, mobile_checkpoint: Path, ofa_predictor: Path, features: FeatureSet
) -> None:
    features.save(tmp_path / "images.safetensors")
    images, checkpoint = "dataset=images.safetensors", f"checkpoint=[{mobile_checkpoint}]"
    command = ["evaluate", images, f"oracle={ofa_predictor}", checkpoint]
    some = ["seeds=1", "candidates=4", "sample=12", "json=a.json"]
    asked: list[str] = []
    evaluated, space = AccuracyPredictor.evaluate, MobileNetV3()

    def interrupted(self: AccuracyPredictor, archs: Sequence[Architecture], *, seed: int = 0) -> Any:
        if len(asked) == 12:
            asked.append("interrupted")
            raise KeyboardInterrupt
        asked.extend(map(space.canonical, archs))
        return evaluated(self, archs, seed=seed)

    with mock.patch.object(AccuracyPredictor, "evaluate", interrupted):
        stopped = run(*command, "oracle_column=224", *some)
        assert stopped.code == 130
        [folder] = (tmp_path / "runs/evaluate").iterdir()
        outcome = run("resume", folder).done()
    assert asked.pop(12) == "interrupted"
    assert len(set(asked)) == len(asked), "what was asked before is not asked again"
    told = re.search(r"accuracy.safetensors:224: (\d+) evaluations of (\d+) networks, 0 of which", stopped.err)
    assert told is not None, stopped.err
    assert int(told[1]) >= 12 + 4 * 4, "sample, search, random ones, by parameters, by multiply-adds"
    assert int(told[2]) == len(asked)
    assert "best of 2" in outcome.out
    assert "best of 5" not in outcome.out
    found = json.loads((tmp_path / "a.json").read_text())
    assert (found["oracle"], found["archs"]) == ("accuracy.safetensors:224", 12)
    assert set(found["baselines"]) == {"random", "params", "flops", "static"}
    assert found["metrics"]["regret"] >= 0
    with mock.patch.object(AccuracyPredictor, "evaluate", side_effect=AssertionError("asked again")):
        again = run(*command, "oracle_column=224", *some[:-1], "json=b.json").done()
    assert f" {len(asked)} networks, {len(asked)} of which are kept" in again.err
    assert (tmp_path / "b.json").read_bytes() == (tmp_path / "a.json").read_bytes()
    run(*command, "oracle_column=100", *some).refused("no column '100'", "pixels a side")
    run(*command, "oracle_column=224", "sample=1").refused("sample=1", "at least 2")
    cells = ("evaluate", f"oracle={ofa_predictor}", "oracle_column=224", "dataset=embedded:digits")
    run(*cells).refused("not of 'nasbench201'", "a checkpoint for it", "a table")
    run(*command, "oracle_column=224", "space=nasbench201").refused("'mobilenetv3', not for", "space=mobilenetv3")


def test_the_space_names_what_is_shipped(run: Run, tmp_path: Path, ofa_predictor: Path) -> None:
    """As `search --space` does: a checkpoint of any code of its networks."""
    command = ["evaluate", f"oracle={ofa_predictor}", "oracle_column=224", "seeds=1", "candidates=4", "sample=3"]
    options = ["space=mobilenetv3", "checkpoint=null", "images_per_class=2", "html=report.html"]
    run(*command, *options).done()
    page = (tmp_path / "report.html").read_text()
    assert "space=mobilenetv3" in page
    assert "checkpoint=" not in page


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ([], ["no oracle was given", "oracle=FILE"]),
        (["oracle=away.csv"], ["away.csv"]),
        (["oracle=TABLE", "oracle_column=by flop"], ["unknown column", "Did you mean 'by flops'?"]),
        (["oracle=TABLE", "oracle_column=by flops", "dataset=away"], ["images 'away' do not exist"]),
        (["oracle=TABLE", "oracle_column=by flops", "seeds=0"], ["seeds=0", "at least 1"]),
        (["oracle=TABLE", "oracle_column=by flops", "candidates=0"], ["candidates=0", "at least 1"]),
        (["oracle=TABLE", "oracle_column=by flops", "json=file/a.json"], ["cannot write", "file/a.json"]),
        (["oracle=TABLE", "oracle_column=by flops", "label_recipe=a"], ["learned from labels of one recipe"]),
        (["oracle=TABLE", "oracle_column=by flops", "want.accuracy=0.9"], ["want=accuracy", "was not trained"]),
        (["oracle=TABLE", "oracle_column=by flops", "want={flops:3e7}"], ["want=flops", "was not trained"]),
        (["oracle=TABLE", "oracle_column=by flops", "+want.params=1e6"], ["want=params", "was not trained"]),
        (["want={acuracy:0.9}"], ["unknown configuration key 'want.acuracy'", "Did you mean 'want.accuracy'?"]),
        (["want=0.9"], ["'want' takes no value of its own. Set want.accuracy=, want.flops=, want.params=."]),
        (["orakle=a.csv"], ["unknown configuration key 'orakle'", "Did you mean 'oracle'?"]),
        (["checkpoint=[nasbench20]", "oracle=TABLE"], ["unknown checkpoint 'nasbench20'"]),
        (["checkpoint=a.safetensors+b.safetensors", "oracle=TABLE"], ["no checkpoint a.safetensors"]),
        (["checkpoint=[]", "oracle=TABLE"], ["checkpoint=[]", "A+B or [A,B]"]),
    ],
)
def test_values_that_cannot_be_used(
    run: Run, tmp_path: Path, npz: Path, oracle: Path, both: str, overrides: list[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    given = [text.replace("TABLE", str(oracle)) for text in overrides]
    run("evaluate", f"dataset={npz}", both, *given).refused(*words)
