"""metad2a ls."""

from pathlib import Path

from metad2a import plugins
from metad2a.cli import output
from metad2a.cli.configuration import options
from metad2a.data.embedders.reference import form
from metad2a.data.forms import image_names
from metad2a.errors import unknown_name
from metad2a.fitting.recipes import recipe_names
from metad2a.runtime import shipped
from metad2a.tracking.read import list_runs


def run(what: str) -> None:
    """Print the names of one kind, or of all kinds."""
    kinds = {kind: lambda kind=kind: _installed(kind) for kind in plugins.KINDS} | {
        "checkpoints": lambda: _stems("data", "pretrained", pattern="*.safetensors"),
        "databases": lambda: sorted(path.parent.name for path in shipped("data").glob("*/manifest.json")),
        "experiments": lambda: options("experiment"),
        "images": image_names,
        "recipes": recipe_names,
        "runs": _runs,
    }
    if what != "all" and what not in kinds:
        raise unknown_name("list", what, [*kinds, "all"])
    for kind in kinds if what == "all" else [what]:
        names = kinds[kind]()
        output.console.print(f"[bold]{kind}[/bold]: " + (", ".join(names) if names else "none"))
    if what == "embedders":
        for name in plugins.names("embedders"):
            output.console.print(f"- {form(name, plugins.load('embedders', name))}", highlight=False)


def _installed(kind: str) -> list[str]:
    """Return the names of a kind; those of plug-ins say which package they are from."""
    origins = {name: plugins.origin(kind, name) for name in plugins.names(kind)}
    return [name if origin is None else f"{name} (from {origin})" for name, origin in origins.items()]


def _stems(*folder: str, pattern: str) -> list[str]:
    return sorted(path.stem for path in shipped(*folder).glob(pattern))


def _runs() -> list[str]:
    return [f"{run['run_dir']} ({run['status']})" for run in list_runs(Path("runs"))]
