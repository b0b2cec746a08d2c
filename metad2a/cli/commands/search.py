"""metad2a search."""

import shlex
import sys
from pathlib import Path

from metad2a.cli import output
from metad2a.costs.latency_model import LatencyModel
from metad2a.data.cache import FeatureCache
from metad2a.data.opening import open_data
from metad2a.errors import ConfigError
from metad2a.runtime import check_writable, write_json
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.registry import get_space


def run(
    images: str,
    *,
    space: str | None,
    checkpoint: list[str],
    candidates: int,
    top: int,
    seed: int,
    limits: dict[str, float | None],
    measure_latency: bool,
    latency_table: Path | None,
    pareto: str | None,
    images_per_class: int,
    constrained: bool,
    device: str,
    json_file: Path | None,
    html_file: Path | None,
) -> None:
    """Search, print the first candidates, write what was asked for."""
    for name, value in (("--candidates", candidates), ("--top", top), ("--images-per-class", images_per_class)):
        if value < 1:
            raise ConfigError(f"{name} {value}: give a number of at least 1.")
    for path in (json_file, html_file):
        if path is not None:
            check_writable(path)
    if space is not None:
        get_space(space)
    timed = measure_latency or latency_table is not None or limits["max_latency_ms"] is not None
    output.check_cost(pareto, timed=timed)
    model = MetaD2A.open(*checkpoint, device=device)
    model.checkpoint.check(space=space)
    result = model.search(
        open_data(images),
        n_candidates=candidates,
        images_per_class=images_per_class,
        random_state=seed,
        cache=FeatureCache(),
        constrained=constrained,
        measure_latency=measure_latency,
        latency=None if latency_table is None else LatencyModel.read(latency_table, model.space),
        measured=top,
        **limits,
    )
    output.print_search(result, top)
    if pareto is not None:
        output.print_pareto(result, pareto)
    if json_file is not None:
        write_json(json_file, result.to_dict())
        output.wrote(json_file)
    if html_file is not None:
        from metad2a.reporting.reports import search_report

        search_report(html_file, result, top=top, command=command_line())
        output.wrote(html_file)


def command_line() -> str:
    """Return the command as the user would type it again."""
    return shlex.join(["metad2a", *sys.argv[1:]])
