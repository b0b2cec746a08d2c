"""metad2a search."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from metad2a.data.cache import embed
from metad2a.data.embedders.base import get_embedder
from metad2a.data.image_set import ImageSet
from metad2a.spaces.nasbench201 import NASBench201

Run = Callable[..., Any]


def test_the_json_keeps_the_contract(run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]) -> None:
    outcome = run(
        "search", npz, *checkpoints, "--candidates", 12, "--top", 3, "--seed", 4, "--json", "out/found.json"
    )
    assert outcome.code == 0, outcome.err
    assert "wrote out/found.json" in outcome.out
    found = json.loads((tmp_path / "out/found.json").read_text())
    assert list(found) == [
        "schema_version",
        "space",
        "resolution",
        "scale",
        "checkpoint",
        "seed",
        "dataset",
        "generation",
        "timing",
        "candidates",
        "pareto",
        "latency",
        "explanation",
        "then_train",
        "queries",
    ]
    assert (found["schema_version"], found["space"], found["seed"]) == (1, "nasbench201", 4)
    assert found["dataset"] == {"name": "tiny", "classes": 3, "images_used": 30, "embedder": "pixels"}
    assert set(found["timing"]) == {"embed_s", "generate_s", "rank_s", "total_s"}
    made, candidates = found["generation"], found["candidates"]
    assert made["sampled"] >= made["valid"] >= made["unique"] == len(candidates) == 12
    assert 0 <= made["novel"] <= 12
    assert [candidate["rank"] for candidate in candidates] == list(range(1, 13))
    predicted = [candidate["predicted"] for candidate in candidates]
    assert predicted == sorted(predicted, reverse=True)
    space = NASBench201()
    for candidate in candidates:
        assert list(candidate) == [
            *("rank", "arch", "predicted", "std", "params", "flops", "latency_ms"),
            *("latency_measured", "latency_quartiles_ms", "memory_mb"),
        ]
        arch = space.parse(candidate["arch"])
        assert candidate["params"] == int(space.params([arch], 3)[0])
        assert candidate["latency_ms"] is None
        assert candidate["memory_mb"] == int(space.memory([arch], 3, 32)[0]) / 1e6
    assert list(found["pareto"]) == ["params", "flops", "memory_mb"]
    assert found["latency"] is None


def test_top_limits_the_table_and_not_the_json(run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]) -> None:
    outcome = run("search", npz, *checkpoints, "--candidates", 8, "--top", 3, "--json", "found.json")
    assert outcome.out.count("|+|") == 3 * 2
    assert len(json.loads((tmp_path / "found.json").read_text())["candidates"]) == 8


def test_same_seed_same_result_and_limits_are_kept(
    run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]
) -> None:
    def search(name: str, *more: object) -> list[dict[str, Any]]:
        outcome = run("search", npz, *checkpoints, "--candidates", 10, *more, "--json", name)
        assert outcome.code == 0, outcome.err
        return list(json.loads((tmp_path / name).read_text())["candidates"])

    assert search("a.json") == search("b.json")
    limits = ("--max-params", 400_000, "--max-flops", 6e7, "--max-latency-ms", 1e6, "--max-memory-mb", 2)
    limited = search("c.json", *limits, "--top", 3)
    assert all(c["params"] <= 400_000 and c["flops"] <= 6e7 and c["latency_ms"] > 0 for c in limited)
    assert all(c["memory_mb"] <= 2 for c in limited)
    assert all(c["latency_measured"] for c in limited[:3])
    assert not all(c["latency_measured"] for c in limited)


def test_latencies_of_another_device_and_a_front(
    run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]
) -> None:
    space = NASBench201()
    archs = space.sample(20, np.random.default_rng(0))
    rows = zip(map(space.format, archs), space.flops(archs, 3, 32) / 1e7, strict=True)
    (tmp_path / "phone.csv").write_text("arch,ms\n" + "".join(f"{arch},{ms}\n" for arch, ms in rows))
    limits = ("--latency-table", "phone.csv", "--max-latency-ms", 9)
    outcome = run(
        *("search", npz, *checkpoints, "--candidates", 30, "--top", 2, *limits),
        *("--pareto", "latency_ms", "--json", "found.json"),
    ).done()
    found = json.loads((tmp_path / "found.json").read_text())
    assert max(candidate["latency_ms"] for candidate in found["candidates"]) <= 9
    assert found["latency"]["device"] is None
    front = found["pareto"]["latency_ms"]
    assert (
        f"{len(front)} candidates that no other one beats in both predicted accuracy and latency_ms" in outcome.out
    )
    assert outcome.out.count("|+|") == 2 * (2 + len(front))
    assert "~ is predicted from 20 networks" in outcome.out
    assert re.search(r" ~\d\.\d\d ", outcome.out)


def test_measured_latencies_are_told_from_predicted_ones(run: Run, npz: Path, checkpoints: list[str]) -> None:
    outcome = run("search", npz, *checkpoints, "--candidates", 20, "--top", 2, "--latency").done()
    assert len(re.findall(r" \d+\.\d\d \(\d+\.\d\d-\d+\.\d\d\) ", outcome.out)) == 2
    assert re.search(r"of one image, cpu, \d+ threads", outcome.out)
    assert re.search(r"measure \d+\.\d\d s", outcome.out)


def test_the_report_needs_no_network_and_names_its_command(
    run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]
) -> None:
    assert run("search", npz, *checkpoints, "--candidates", 8, "--html", "report.html").code == 0
    page = (tmp_path / "report.html").read_text()
    assert "<svg" in page
    assert "metad2a search" in page
    assert not re.findall(r'(?:src|href)="(?!#|data:)|url\([^#]|@import', page)


def test_the_result_explains_itself(run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]) -> None:
    outcome = run("search", npz, *checkpoints, "--candidates", 12, "--json", "found.json").done()
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["then_train"] is None
    explanation = found["explanation"]
    assert {"likeness", "sureness", "differences", "advice", "sentences"} <= set(explanation)
    for sentence in explanation["sentences"]:
        assert sentence in outcome.out


def test_what_it_advises_keeps_to_what_was_asked_for(run: Run, npz: Path, checkpoints: list[str]) -> None:
    limits = ("--max-params", "9e5", "--max-memory-mb", "5.5", "--candidates", 12, "--seed", 3)
    told = "--max-params 900000 --max-memory-mb 5.5 --candidates 12 --seed 3"
    steps = [line for line in run("search", npz, *checkpoints, *limits).done().out.splitlines() if "Next: " in line]
    again = [line for line in steps if "metad2a search" in line]
    assert again
    assert all(told in line for line in again)
    plainly = run("search", npz, *checkpoints, "--images-per-class", 50).done().out
    assert not any(option in plainly for option in ("--images-per-class", "--seed", "--candidates", "--max-flops"))


def test_who_limits_the_images_is_not_told_to_add_some(run: Run, npz: Path, checkpoints: list[str]) -> None:
    few = run("search", npz, *checkpoints, "--candidates", 12, "--images-per-class", 2).done().out
    assert "add images" not in few
    advice = "Next: The search saw 2 images of a class, but the models look at 4: let it see more."
    [line] = [line for line in few.splitlines() if line.startswith(f"{advice} metad2a search {npz}")]
    assert "--images-per-class" not in line
    assert any("--images-per-class 2 --then-train" in line for line in few.splitlines())


def test_the_networks_can_be_taken_away(run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]) -> None:
    search = ("search", npz, *checkpoints, "--candidates", 8, "--top", 2, "--no-onnx", "--json", "found.json")
    run(*search, "--export", "networks").done()
    found = json.loads((tmp_path / "found.json").read_text())["candidates"]
    assert sorted(path.name for path in (tmp_path / "networks").iterdir()) == ["rank1", "rank2"]
    for rank in (1, 2):
        card = json.loads((tmp_path / f"networks/rank{rank}/card.json").read_text())
        assert card["arch"] == found[rank - 1]["arch"]
        assert card["classes"] == ["0", "1", "2"]
        assert "--export networks" in card["command"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.tex").write_text("precious")
    run(*search, "--export", "mine").refused("mine")
    assert (tmp_path / "mine/thesis.tex").read_text() == "precious"


def test_the_first_candidates_are_trained_and_the_best_is_chosen(
    run: Run, tmp_path: Path, checkpoints: list[str]
) -> None:
    (tmp_path / "quick.yaml").write_text(
        "{name: quick, epochs: 1, batch_size: 64, learning_rate: 0.1, resolution: 8, images_per_epoch: 256, "
        "scale: {channels: 2, cells: 1}}"
    )
    search = ("search", "embedded:digits", *checkpoints, "--images-per-class", 4, "--candidates", 8, "--top", 2)
    training = ("--then-train", 2, "--train-seeds", 2, "--recipe", "quick.yaml")
    outcome = run(*search, *training, "--json", "found.json", "--html", "r.html", "--export", "nets", "--no-onnx")
    outcome.done()
    done = json.loads((tmp_path / "found.json").read_text())["then_train"]
    assert [one["rank"] for one in done["candidates"]] == [1, 2]
    assert all(len(one["valid_accuracies"]) == 2 for one in done["candidates"])
    best = max(done["candidates"], key=lambda one: one["valid_mean"])
    assert done["chosen"]["rank"] == best["rank"]
    assert sum(done["images"].values()) == 1797
    assert f"really best: candidate {best['rank']}, test" in outcome.out
    assert (tmp_path / f"nets/rank{best['rank']}/weights.pt").is_file()
    assert not (tmp_path / f"nets/rank{3 - best['rank']}/weights.pt").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/then-train").rglob("seed-*.json")}
    assert len(kept) == 4
    again = run(*search, *training, "--json", "again.json").done()
    assert "really best" in again.out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs/then-train").rglob("seed-*.json")} == kept


def test_nothing_is_trained_on_features(run: Run, tmp_path: Path, checkpoints: list[str], npz: Path) -> None:
    run("search", npz, *checkpoints, "--then-train", -1).refused("--then-train -1")
    run("search", npz, *checkpoints, "--then-train", 1, "--recipe", "shor").refused("Did you mean 'short'?")
    pixels = get_embedder("pixels")
    images = ImageSet.from_npz(npz)
    embed(images, pixels, cache=None).save(tmp_path / "f.safetensors")
    run("search", "f.safetensors", *checkpoints, "--then-train", 1).refused("holds features", "learn from images")


def images_in(folder: Path, *classes: str) -> Path:
    """Write two small images a class."""
    for name in classes:
        (folder / name).mkdir(parents=True)
        for number in range(2):
            pixels = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def missing_folder(folder: Path) -> Path:
    return folder / "nowhere"


def empty_class(folder: Path) -> Path:
    (images_in(folder, "cat", "dog") / "owl").mkdir()
    return folder


def one_class(folder: Path) -> Path:
    return images_in(folder, "cat")


def no_image(folder: Path) -> Path:
    (images_in(folder, "cat", "dog") / "dog" / "notes.txt").write_text("meow")
    return folder


def damaged_image(folder: Path) -> Path:
    (images_in(folder, "cat", "dog") / "dog" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


def saved(folder: Path, **arrays: Any) -> Path:
    folder.mkdir()
    np.savez(folder / "images.npz", **arrays)
    return folder / "images.npz"


def npz_without_y(folder: Path) -> Path:
    return saved(folder, x=np.zeros((4, 8, 8), np.uint8))


def npz_without_x(folder: Path) -> Path:
    return saved(folder, y=np.arange(4))


def npz_with_objects(folder: Path) -> Path:
    return saved(folder, x=np.array([{"a": 1}, None], dtype=object), y=np.arange(2))


def text_file(folder: Path) -> Path:
    folder.mkdir()
    (folder / "images.txt").write_text("none")
    return folder / "images.txt"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (missing_folder, ["nowhere", "do not exist", "sub-folder"]),
        (empty_class, ["'owl'", "no image", "Remove the folder or add images"]),
        (one_class, ["only one class ('cat')", "two sub-folders"]),
        (no_image, ["notes.txt", "no image", "Remove the file"]),
        (damaged_image, ["torn.png", "emove the file"]),
        (npz_without_y, ["images.npz", "y"]),
        (npz_without_x, ["images.npz", "x"]),
        (npz_with_objects, ["images.npz", "object"]),
        (text_file, ["images.txt", "no supported kind", "npz"]),
    ],
)
def test_images_that_cannot_be_used(
    run: Run, tmp_path: Path, checkpoints: list[str], make: Callable[[Path], Path], words: list[str]
) -> None:
    images = make(tmp_path / "images")
    run("search", images, *checkpoints, "--candidates", 4, "--json", "found.json").refused(*words)
    assert not (tmp_path / "found.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--candidates", "-3"], ["--candidates -3", "at least 1"]),
        (["--candidates", "0"], ["--candidates 0", "at least 1"]),
        (["--top", "0"], ["--top 0", "at least 1"]),
        (["--images-per-class", "0"], ["--images-per-class 0", "at least 1"]),
        (["--space", "nasbench202"], ["unknown space 'nasbench202'", "Did you mean 'nasbench201'?"]),
        (["--device", "gpu"], ["unknown device 'gpu'", "auto, cpu, cuda, mps"]),
        (["--max-params", "10"], ["no architecture", "max_params=10", "smallest", "Raise the limit"]),
        (["--max-params", "-1"], ["max_params=-1", "not a positive number"]),
        (["--max-flops", "nan"], ["max_flops=nan", "not a positive number"]),
        (["--max-memory-mb", "0.1"], ["max_memory_mb=0.1", "0.634 MB of memory", "Raise the limit"]),
        (["--pareto", "parms"], ["unknown cost 'parms'", "Did you mean 'params'?"]),
        (["--pareto", "latency_ms"], ["latencies are not known", "--latency"]),
        (["--latency-table", "no.csv"], ["cannot read no.csv", "columns 'arch' and 'ms'"]),
        (["--max-latency-ms", "1e-9"], ["max_latency_ms=1e-09", "fastest", "Raise the limit"]),
        (["--json", "."], ["cannot write", "folder"]),
        (["--html", "file/report.html"], ["cannot write", "file/report.html"]),
    ],
)
def test_options_that_cannot_be_used(
    run: Run, tmp_path: Path, npz: Path, checkpoints: list[str], arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "file").write_text("a file where a folder is needed")
    run("search", npz, *checkpoints, "--candidates", 4, *arguments).refused(*words)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--enough", "0"], ["--enough: it would end nothing", "--queries K"]),
        (["--enough", "0.05", "--then-train", "1"], ["--enough: it would end nothing", "--queries K"]),
        (["--oracle", "t.csv", "--oracle-column", "a"], ["--oracle: nothing would ask it", "--queries K"]),
        (["--oracle-column", "a", "--queries", "1"], ["--oracle-column: of which oracle?", "--oracle FILE"]),
        (["--recipe", "short"], ["--recipe: no network would be trained", "--then-train K"]),
        (["--train-seeds", "2"], ["--train-seeds: no network would be trained", "--queries K without --oracle"]),
        (["--runs", "r", "--queries", "1", "--oracle", "t.csv", "--oracle-column", "a"], ["--runs: no network"]),
        (["--onnx"], ["--onnx: no network would be written", "--export FOLDER"]),
        (["--no-onnx"], ["--no-onnx: no network would be written"]),
        (["--latency", "--latency-table", "phone.csv"], ["--latency: nothing would be measured", "Leave it out"]),
    ],
)
def test_options_that_would_do_nothing(
    run: Run, tmp_path: Path, npz: Path, arguments: list[str], words: list[str]
) -> None:
    run("search", npz, *arguments).refused(*words, code=2)
    assert not list(tmp_path.iterdir())


def test_images_that_are_embedded_are_not_chosen(
    run: Run, tmp_path: Path, npz: Path, checkpoints: list[str]
) -> None:
    embed(ImageSet.from_npz(npz), get_embedder("pixels"), cache=None).save(tmp_path / "f.safetensors")
    search = ("search", "f.safetensors", *checkpoints, "--candidates", 4)
    run(*search, "--images-per-class", 4).refused("--images-per-class: ", "embedded already", code=2)
    run(*search).done()


def test_wrong_usage(run: Run, npz: Path) -> None:
    assert run("search", npz, "--candidates", "many").code == 2
    assert run("search", npz, "--nonsense").code == 2
    assert run("search").code == 2
    assert run("serach", npz).code == 2


def test_checkpoints_that_cannot_be_used(
    run: Run, tmp_path: Path, npz: Path, trained: dict[str, Path], make_checkpoint: Callable[..., Any]
) -> None:
    ours = trained["predictor"] / "checkpoints/best.safetensors"

    def search(*files: object) -> Any:
        return run("search", npz, *(text for file in files for text in ("--checkpoint", file)))

    search("nasbench2001").refused("unknown checkpoint 'nasbench2001'", "Known:")
    search("away.safetensors").refused("no checkpoint", "away.safetensors")
    search(ours).refused("predictor only", "generator's file too")
    search(ours, ours).refused("a predictor and a predictor-2 only", "generator's file too")

    (tmp_path / "broken.safetensors").write_bytes(ours.read_bytes()[:100])
    search("broken.safetensors").refused("broken.safetensors", "damaged")
    make_checkpoint(feature_dim=192).save(tmp_path / "old.safetensors")
    search("old.safetensors").refused("trained on features of the embedder 'pixels'", "test features")
    make_checkpoint(space="elsewhere").save(tmp_path / "space.safetensors")
    search("space.safetensors").refused("elsewhere", "nasbench201")
    shutil.copy(npz, tmp_path / "evil.pt")
    search("evil.pt").refused("evil.pt", ".safetensors")
