"""metad2a export."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metad2a.cli import output
from metad2a.cli.commands.fit_request import read_arch
from metad2a.cli.commands.scale import sizes
from metad2a.cli.commands.search import command_line
from metad2a.errors import ConfigError
from metad2a.fitting.fitted import SUFFIX, load_fitted
from metad2a.search.export import export_network
from metad2a.spaces.registry import DEFAULT_SPACE, get_space, parse_in


def run(
    network: str,
    out: Path,
    *,
    num_classes: int | None,
    space: str | None,
    weights: Path | None,
    resolution: int | None,
    scale: Sequence[str],
    onnx: bool | None,
) -> None:
    """Write the folder and say what is in it.

    Raises:
        ConfigError: an option cannot be understood, or contradicts another one.
    """
    options: dict[str, Any] = {
        "resolution": resolution,
        "scale": sizes(scale) if scale else None,
        "onnx": onnx,
        "about": {"command": command_line()},
    }
    path = Path(network).expanduser()
    if path.is_dir() or path.suffix == SUFFIX:
        if weights is not None or space is not None:
            raise ConfigError(f"{network} is a trained network: leave out --weights and --space.")
        folder = export_network(load_fitted(path), out, num_classes, **options)
    else:
        named = read_arch(network)
        if named.search is not None:
            if space not in (None, named.space):
                raise ConfigError(f"{network} is of the space '{named.space}', not '{space}'. Leave out --space.")
            found = _told_by(named.search, named.text)
            options["about"] |= found["about"]
            num_classes = num_classes or found["num_classes"]
            options["resolution"] = resolution or found["resolution"]
            options["scale"] = {**(found["scale"] or {}), **(options["scale"] or {})} or None
        arch = parse_in(get_space(named.space or space or DEFAULT_SPACE), named.text, "--space ")
        folder = export_network(arch, out, num_classes, weights=weights, **options)
    for file in sorted(folder.iterdir()):
        output.wrote(file)


def _told_by(content: Mapping[str, Any], text: str) -> dict[str, Any]:
    """Return what the file of a search says of its candidate ``text``."""
    candidate = next(one for one in content["candidates"] if one["arch"] == text)
    dataset = content.get("dataset") or {}
    search = {key: content.get(key) for key in ("checkpoint", "seed", "dataset")} | candidate
    # JSON of others may hold numbers that are none.
    kept = {key: value for key, value in search.items() if not (isinstance(value, float) and math.isnan(value))}
    told = {name: content.get(name) for name in ("resolution", "scale")}  # results of older versions lack them
    return {"about": {"search": kept}, "num_classes": dataset.get("classes")} | told
