"""metad2a benchmark, on its quickest cases."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]


def result(path: Path, seconds: float) -> str:
    rows = [{"name": "search", "cpu_s": seconds}]
    path.write_text(
        json.dumps({"schema_version": 1, "kind": "benchmark", "machine": {"core_gflops": 100}, "rows": rows})
    )
    return path.name


def table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in line[2:-2].split(" | ")] for line in text.splitlines() if line[:1] == "|"]


def test_the_suite(run: Run, tmp_path: Path) -> None:
    text = run("benchmark", "--only", "decode?free", "--repeat", "2", "--json", "speed.json").done().out
    header, _, row = table(text)
    assert header[0] == "case"
    assert row[0] == "decode-free"
    assert len(row) == len(header)
    assert "wrote speed.json" in text
    content = json.loads((tmp_path / "speed.json").read_text())
    assert content["rows"][0]["repeats"] == 2
    text = run("benchmark", "compare", "speed.json", "speed.json", "--worse-than", "1.01").done().out
    assert table(text)[-1][3:] == ["1.000", "1.000"]


def test_the_profile(run: Run) -> None:
    header, _, *rows = table(run("benchmark", "profile", "decode", "--top", "3").done().out)
    assert header == ["operator", "calls", "CPU ms in itself", "share"]
    assert len(rows) == 4
    shares = [float(row[3].removesuffix(" %")) for row in rows]
    assert shares[:3] == sorted(shares[:3], reverse=True)
    assert sum(shares) == pytest.approx(100, abs=0.3)
    run("benchmark", "profile", "decod").refused("unknown case 'decod'", "decode")


def test_the_growth(run: Run, tmp_path: Path) -> None:
    arguments = ("--only", "records to*", "--quick", "--json", "g.json", "--html", "g.html", "--svg", "g.svg")
    text = run("benchmark", "growth", *arguments).done().out
    assert "time slope" in text
    assert "training/selection.py" in text
    content = json.loads((tmp_path / "g.json").read_text())
    assert (content["schema_version"], content["kind"]) == (1, "growth")
    assert [point["size"] for point in content["rows"]] == [1_000, 10_000]
    for point in content["rows"]:
        assert set(point) == {"axis", "size", "cpu_s", "wall_s", "peak_mb", "work_mb"}
        assert point["cpu_s"] > 0
        assert 0 <= point["work_mb"] < point["peak_mb"]
    [trend] = content["trends"]
    assert set(trend) == {"axis", "what", "time", "memory", "linear", "bounded_by"}
    assert trend["linear"] == (max(trend["time"], trend["memory"]) <= 1.1)
    assert (tmp_path / "g.svg").read_text().startswith("<svg")
    page = (tmp_path / "g.html").read_text()
    assert "records to select from" in page
    assert "metad2a benchmark growth" in page


def test_a_slower_case_can_fail(run: Run, tmp_path: Path) -> None:
    old, new = result(tmp_path / "old.json", 1.0), result(tmp_path / "new.json", 1.5)
    assert ["search", "1.000", "1.500", "1.500", "1.500"] in table(run("benchmark", "compare", old, new).done().out)
    run("benchmark", "compare", old, new, "--worse-than", "1.6").done()
    run("benchmark", "compare", old, new, "--worse-than", "1.2").refused("more than 1.2 times slower", "search")
    run("benchmark", "compare", new, old, "--worse-than", "1.2").done()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--only", "serch"], ["unknown case 'serch'", "Did you mean 'search'?"]),
        (["--threads", "0"], ["--threads 0"]),
        (["--repeat", "0"], ["--repeat 0"]),
        (["--json", "."], ["cannot write", "folder"]),
        (["growth", "--only", "clases"], ["unknown axis 'clases'", "Did you mean 'classes'?"]),
        (["growth", "--svg", "."], ["cannot write", "folder"]),
        (["compare", "nowhere.json", "nowhere.json"], ["cannot read nowhere.json"]),
        (["compare", "a.json", "b.json", "--worse-than", "0"], ["--worse-than 0"]),
    ],
)
def test_mistakes(run: Run, arguments: list[str], words: list[str]) -> None:
    run("benchmark", *arguments).refused(*words)


def test_options_before_a_subcommand_are_not_dropped(run: Run) -> None:
    assert run("benchmark", "--threads", "2", "growth").code == 2
    assert run("benchmark", "compare", "one.json").code == 2
