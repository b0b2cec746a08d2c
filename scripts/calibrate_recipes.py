"""Measure what labels of a recipe are worth: how they rank random cells, against a table of long trainings.

python scripts/calibrate_recipes.py measure LABELS.jsonl CIFAR10.npz ... [--recipes rank60k ...] [--cells 40]
python scripts/calibrate_recipes.py report LABELS.jsonl ORACLE.csv COLUMN [--svg FILE]

``measure`` trains the same uniformly drawn cells by every recipe and appends a line for each as it comes; what is
there already is not trained again. The images of all files are joined and split by class: a validation part, the
same for all, and from the rest as many training images as a recipe asks for.

``report`` prints a table and draws rank agreement against seconds a label: Spearman's correlation over all cells,
then over those in the better half of the oracle; ± is the standard deviation over cells drawn with replacement. A
second table says what stopping the worst third after an epoch would save and cost. Only the report sees the oracle.
"""

import argparse
import json
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata, spearmanr

from metad2a.data.image_set import ImageSet
from metad2a.fitting.network import LabelledImages, fit_network, seeded
from metad2a.fitting.recipes import get_recipe
from metad2a.runtime import keep_freed_memory, progress, write_text
from metad2a.spaces.nasbench201 import NASBench201

VALID = 2500
CELLS_SEED = 2026
# The shipped recipe, but an epoch is a pass over the images there are.
BASE = replace(get_recipe("rank60k"), images_per_epoch=None)
PLAIN = {"flip": False, "crop_padding": 0}
# Name -> training images, and what differs from BASE; plain: no augmentation. Epochs are passes over these.
VARIANTS: dict[str, tuple[int, dict[str, Any]]] = {
    "rank36k": (12_000, {"epochs": 3}),
    "rank60k": (12_000, {}),
    "rank120k": (12_000, {"epochs": 10}),
    "8k images x 8": (8_000, {"epochs": 8}),
    "batch 128": (12_000, {"batch_size": 128, "learning_rate": 0.2}),
    "batch 32": (12_000, {"batch_size": 32, "epochs": 4}),
    "plain": (12_000, PLAIN),
    "plain, 8k x 8, batch 128": (
        8_000,
        {"epochs": 8, "batch_size": 128, "learning_rate": 0.2, **PLAIN},
    ),
    "plain, 8k x 8, batch 256": (
        8_000,
        {"epochs": 8, "batch_size": 256, "learning_rate": 0.4, **PLAIN},
    ),
    "plain, 8 px, batch 32": (
        8_000,
        {"epochs": 8, "batch_size": 32, "resolution": 8, "scale": {"channels": 16, "cells": 1}, **PLAIN},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    measuring = commands.add_parser("measure")
    measuring.add_argument("labels", type=Path)
    measuring.add_argument("images", nargs="+")
    measuring.add_argument("--recipes", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    measuring.add_argument("--cells", type=int, default=40)
    measuring.add_argument("--seed", type=int, default=0)
    measuring.set_defaults(run=measure)
    reporting = commands.add_parser("report")
    reporting.add_argument("labels", type=Path)
    reporting.add_argument("oracle", type=Path)
    reporting.add_argument("column")
    reporting.add_argument("--svg", type=Path)
    reporting.set_defaults(run=report)
    options = parser.parse_args()
    options.run(options)


# --- measure ------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    keep_freed_memory()
    space = NASBench201()
    drawn = dict.fromkeys(space.sample(10 * options.cells, np.random.default_rng(CELLS_SEED)))
    cells = [space.format(arch) for arch in list(drawn)[: options.cells]]
    known = {(row["recipe"], row["arch"], row["seed"]) for row in _read(options.labels)}
    for name in options.recipes:
        images, changes = VARIANTS[name]
        recipe = replace(BASE, name=name, **changes)
        train, valid = _split(options.images, images, recipe.resolution)
        for arch in progress([cell for cell in cells if (name, cell, options.seed) not in known], label=name):
            with seeded(options.seed):
                net = space.build(space.parse(arch), int(train.labels.max()) + 1, **recipe.scale)
            started = time.process_time()
            fit = fit_network(net, train, valid, recipe, seed=options.seed)
            row = {
                "recipe": name,
                "arch": arch,
                "seed": options.seed,
                "cpu": round(time.process_time() - started, 2),
                "curve": [
                    {key: round(row[key], 4) for key in ("train/loss", "val/loss", "val/accuracy")}
                    for row in fit.curve
                ],
            }
            with options.labels.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def _split(files: list[str], train: int, resolution: int) -> tuple[LabelledImages, LabelledImages]:
    parts = [np.load(file, allow_pickle=False) for file in files]
    x, y = (np.concatenate([part[key] for part in parts]).astype(kind) for key, kind in (("x", "u1"), ("y", int)))
    rng, classes = np.random.default_rng(0), np.unique(y)
    order = np.stack([rng.permutation(np.flatnonzero(y == label)) for label in classes])
    edge = VALID // len(classes)
    chosen = order[:, edge : edge + train // len(classes)], order[:, :edge]
    first, second = (
        LabelledImages.of(ImageSet.from_arrays(x[rows.ravel()], y[rows.ravel()]), resolution) for rows in chosen
    )
    return first, second


# --- report -------------------------------------------------------------------------------------------------


def report(options: argparse.Namespace) -> None:
    oracle = pd.read_csv(options.oracle).set_index("arch")[options.column]
    rows = _read(options.labels)
    labels = {
        name: {row["arch"]: row for row in rows if (row["recipe"], row["seed"]) == (name, 0)} for name in VARIANTS
    }
    lines, points = [], []
    for name in [name for name in VARIANTS if labels[name]]:
        found = _agreement(list(labels[name].values()), oracle)
        # Which cells are ranked counts for more than how: only equal cells can be compared.
        same = [labels[BASE.name][arch] for arch in labels[name] if arch in labels[BASE.name]]
        beside = _agreement(same, oracle)
        lines.append(found | {f"{BASE.name} on these": beside["both"]})
        points.append((name, found["core-seconds"], *found["both"]))
    _print(lines)
    _print(_early_stopping(list(labels[BASE.name].values()), oracle))
    if options.svg:
        write_text(options.svg, _picture(points))


def _print(lines: list[Mapping[str, Any]]) -> None:
    table = pd.DataFrame(lines)
    print(f"\n|{'|'.join(table.columns)}|\n|{'---|' * len(table.columns)}")
    for _, line in table.iterrows():
        print(f"|{'|'.join(map(_text, line))}|")


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return " / ".join(map(_text, value))
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def _agreement(rows: list[dict[str, Any]], oracle: "pd.Series[float]") -> Mapping[str, Any]:
    archs = [row["arch"] for row in rows]
    truth = oracle.loc[archs].to_numpy()
    better = truth >= oracle.median()
    accuracy = np.array([row["curve"][-1]["val/accuracy"] for row in rows])
    loss = np.array([-row["curve"][-1]["val/loss"] for row in rows])
    space = NASBench201()
    params = space.params([space.parse(arch) for arch in archs], 10)
    both = rankdata(accuracy) + rankdata(loss)
    labels = {
        "accuracy": accuracy,
        "loss": loss,
        "both": both,
        "both + params": both + rankdata(params),
        "params": params,
    }
    found: dict[str, Any] = {
        "recipe": rows[0]["recipe"],
        "cells": len(rows),
        "core-seconds": float(np.mean([row["cpu"] for row in rows])),
    }
    for name, label in labels.items():
        found[name] = tuple(float(spearmanr(label[rows], truth[rows]).statistic) for rows in (slice(None), better))
    found["±"] = _bootstrap(both, truth)
    return found


def _early_stopping(rows: list[dict[str, Any]], oracle: "pd.Series[float]") -> list[Mapping[str, Any]]:
    truth = oracle.loc[[row["arch"] for row in rows]].to_numpy()
    curves = np.array([[epoch["val/accuracy"] for epoch in row["curve"]] for row in rows])
    lines: list[Mapping[str, Any]] = []
    for number, accuracy in enumerate(curves.T, start=1):
        stopped = rankdata(accuracy) <= len(rows) / 3
        label = np.where(stopped, accuracy - 100, curves[:, -1])  # whoever is stopped is ranked below the others
        lines.append(
            {
                "epoch": str(number),
                "its accuracy": float(spearmanr(accuracy, truth).statistic),
                "labels, worst third stopped": float(spearmanr(label, truth).statistic),
                "saved": (1 - number / curves.shape[1]) / 3,
            }
        )
    return lines


def _bootstrap(label: np.ndarray, truth: np.ndarray, draws: int = 500) -> float:
    """Return the standard deviation of the correlation over cells drawn with replacement."""
    chosen = np.random.default_rng(0).integers(0, len(truth), (draws, len(truth)))
    return float(np.std([spearmanr(label[rows], truth[rows]).statistic for rows in chosen]))


def _picture(points: list[tuple[str, float, float, float]]) -> str:
    import io

    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 4.2), layout="constrained", facecolor="white")
    axis = figure.subplots()
    for column, marker, colour, label in ((2, "o", "#0072b2", "all cells"), (3, "s", "#d55e00", "better half")):
        axis.scatter([p[1] for p in points], [p[column] for p in points], marker=marker, c=colour, label=label)
    for name, seconds, value, _ in points:
        axis.annotate(name, (seconds, value), xytext=(4, 4), textcoords="offset points", fontsize=7)
    axis.margins(x=0.2)
    axis.set(xlabel="core-seconds a label", ylabel="Spearman correlation with the table")
    axis.legend(loc="lower right")
    axis.grid(visible=True, color="#dddddd", lw=0.6)
    file = io.StringIO()
    with mpl.rc_context(
        {"svg.fonttype": "none", "svg.hashsalt": "metad2a"}
    ):  # words stay words; always the same file
        figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    return file.getvalue()


def _read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
