"""What reading NAS-Bench-201's and NATS-Bench's files costs, on made-up files of their layouts.

python scripts/benchmark_files.py [--cells 300]

writes a .pth file and a folder of so many cells, each with the curves of one to three seeds on four data sets, and
prints seconds and memory (MB) of reading them: the file our way and as a whole, and the folder.
"""

import argparse
import bz2
import pickle
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metad2a.database.importers.benchmark_order import benchmark_order
from metad2a.database.importers.benchmark_pickles import read_ends_of_curves
from metad2a.database.importers.nats_bench import import_nats_bench
from metad2a.database.importers.safe_pickle import read_restricted

SUBSETS = {
    "cifar10-valid": ["x-valid", "ori-test"],
    "cifar10": ["ori-test"],
    "cifar100": ["ori-test", "x-valid", "x-test"],
    "ImageNet16-120": ["ori-test", "x-valid", "x-test"],
}
SEEDS = [777, 888, 999]
OF_ONE_TWO_THREE_SEEDS = np.array([2225, 5439, 7961]) / 15625  # in v1.1
RNG = np.random.default_rng(0)


def figures(count: int) -> list[float]:
    return RNG.uniform(0, 100, count).tolist()


def training(dataset: str, seed: int, epochs: int) -> dict[str, Any]:
    names = [f"{subset}@{epoch}" for subset in SUBSETS[dataset] for epoch in range(epochs)]
    curves = {f"train_{what}": dict(enumerate(figures(epochs))) for what in ("acc1es", "acc5es", "losses", "times")}
    evaluated = {
        f"eval_{what}": dict(zip(names, figures(len(names)), strict=True)) for what in ("acc1es", "times", "losses")
    }
    return {"seed": seed, "epochs": epochs, "latency": [0.01] * 3, **curves, **evaluated}


def cell(index: int, seeds: list[int], epochs: int) -> dict[str, Any]:
    return {
        "arch_index": index,
        "arch_str": benchmark_order()[index],
        "all_results": {(dataset, seed): training(dataset, seed, epochs) for dataset in SUBSETS for seed in seeds},
        "dataset_seed": {dataset: list(seeds) for dataset in SUBSETS},
    }


def write(folder: Path, cells: int) -> None:
    infos = {}
    meta = {"meta_archs": list(benchmark_order()), "total_archs": 15625}
    (folder / "nats").mkdir()
    (folder / "nats/meta.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(meta)))
    for index in range(cells):
        count = int(RNG.choice([1, 2, 3], p=OF_ONE_TWO_THREE_SEEDS))
        infos[index] = {"full": cell(index, SEEDS[:count], 200), "less": cell(index, SEEDS[:1], 12)}
        content = {"200": infos[index]["full"], "12": infos[index]["less"]}
        (folder / f"nats/{index:06d}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(content, protocol=4)))
    content = meta | {"arch2infos": infos, "evaluated_indexes": set(infos)}
    torch.save(content, folder / "bench.pth", _use_new_zipfile_serialization=False)


def measure(what: str, folder: Path) -> str:
    def memory() -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("RssAnon"))

    before, start, cpu = memory(), time.monotonic(), time.process_time()
    if what == "nats":
        import_nats_bench(folder / "nats", folder / "nats.csv")
        kept: Any = None
    else:
        kept = (read_ends_of_curves if what == "ours" else read_restricted)(folder / "bench.pth")
    seconds, busy, taken = time.monotonic() - start, time.process_time() - cpu, memory() - before
    del kept
    return f"{what:>6}: {seconds:7.1f} s, {busy:7.1f} CPU s, {taken:7.0f} MB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=300)
    cells = parser.parse_args().cells
    # Each in a new process, so that what one takes is not counted for the next.
    with (
        tempfile.TemporaryDirectory() as name,
        ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as new_process,
    ):
        folder = Path(name)
        new_process.submit(write, folder, cells).result()
        size = (folder / "bench.pth").stat().st_size
        packed = sum(path.stat().st_size for path in (folder / "nats").iterdir())
        print(f"{cells} cells: {size / 1e6:.0f} MB .pth, {packed / 1e6:.0f} MB folder")
        for what in ("ours", "whole", "nats"):
            print(new_process.submit(measure, what, folder).result())


if __name__ == "__main__":
    main()
