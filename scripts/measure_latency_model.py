"""How well 20 measured cells of NAS-Bench-201 tell the latencies of all others, by device.

python scripts/measure_latency_model.py tables LATENCY.npz OUT.json [--seeds 10] [--cells 20]
python scripts/measure_latency_model.py here OUT.json [--cells 20] [--unseen 40]

``tables`` takes published latencies: an array a device, of all cells in the benchmark's order. For each seed the
cells are chosen from 1,000 random ones, as a search does, their latencies read, a model fitted, and Spearman's and
Kendall's correlation taken over the cells that were not chosen. ``here`` really measures the chosen cells, and some
unseen random ones twice: their correlation with themselves bounds what a model can reach. Both print a Markdown
table (mean and standard deviation over seeds) and write JSON. ``--threads`` is for measuring here.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import kendalltau, spearmanr

from metad2a.costs.latency import measure_latency
from metad2a.costs.latency_model import LatencyModel, choose_architectures
from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.runtime import numpy_rng, progress, write_json
from metad2a.spaces.base import Architecture
from metad2a.spaces.nasbench201 import NASBench201

SPACE = NASBench201()


def agreement(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    return {
        "spearman": float(spearmanr(truth, predicted).statistic),
        "kendall": float(kendalltau(truth, predicted).statistic),
        "error_percent": float(100 * np.median(np.abs(predicted - truth) / truth)),
    }


def measure_tables(path: Path, cells: int, seeds: int) -> dict[str, Any]:
    archs = [SPACE.parse(text) for text in benchmark_order()]
    position = {arch: i for i, arch in enumerate(archs)}
    designs = [
        [position[arch] for arch in choose_architectures(SPACE, n=cells, seed=seed)] for seed in range(seeds)
    ]
    devices = {}
    with np.load(path, allow_pickle=False) as tables:
        for device in progress(tables.files, label="devices"):
            truth, runs = tables[device].astype(np.float64), []
            for design in designs:
                model = LatencyModel.fit(SPACE, [archs[i] for i in design], truth[design])
                unseen = np.setdiff1d(np.arange(len(archs)), design)
                runs.append(agreement(truth[unseen], model.predict(archs)[unseen]))
            flops = SPACE.flops(archs, 10, 32)
            by_flops = float(spearmanr(truth, flops).statistic)
            devices[device] = {name: [run[name] for run in runs] for name in runs[0]} | {"flops_spearman": by_flops}
    return {"cells": cells, "seeds": seeds, "devices": devices}


def measure_here(cells: int, unseen: int, threads: int) -> dict[str, Any]:
    torch.set_num_threads(threads)
    chosen = choose_architectures(SPACE, n=cells)
    others = [arch for arch in SPACE.sample(unseen, numpy_rng("unseen cells")) if arch not in chosen]

    def measured(archs: list[Architecture]) -> np.ndarray:
        networks = progress([SPACE.build(arch, 10) for arch in archs], label="measure")
        return np.array([measure_latency(net, SPACE.resolution).median_ms for net in networks])

    model = LatencyModel.fit(SPACE, chosen, measured(chosen))
    first, second = measured(others), measured(others)
    found = agreement(first, model.predict(others))
    twice = float(spearmanr(first, second).statistic)
    device = f"this machine, threads: {threads}; with itself {twice:.3f}"
    by_flops = float(spearmanr(first, SPACE.flops(others, 10, 32)).statistic)
    row = {name: [value] for name, value in found.items()} | {"flops_spearman": by_flops, "spearman_twice": twice}
    return {"cells": cells, "unseen": len(others), "devices": {device: row}}


def table(result: dict[str, Any]) -> str:
    lines = ["| device | Spearman | Kendall | median error % | multiply-adds alone |", "|---|---|---|---|---|"]
    for device, row in result["devices"].items():
        rank = " | ".join(f"{np.mean(row[k]):.3f} ± {np.std(row[k]):.3f}" for k in ("spearman", "kendall"))
        error = f"{np.mean(row['error_percent']):.1f}"
        lines.append(f"| {device} | {rank} | {error} | {row['flops_spearman']:.3f} |")
    means = [np.mean(row["spearman"]) for row in result["devices"].values()]
    kendall = [np.mean(row["kendall"]) for row in result["devices"].values()]
    lines.append(f"| mean of {len(means)} | {np.mean(means):.3f} | {np.mean(kendall):.3f} | | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tables", "here"))
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--unseen", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.what == "tables":
        result = measure_tables(given.files[0], given.cells, given.seeds)
    else:
        result = measure_here(given.cells, given.unseen, given.threads)
    write_json(given.files[-1], result)
    print(table(result))


if __name__ == "__main__":
    main()
