"""The command line: ``metad2a COMMAND``. Heavy imports happen inside the commands, so that --help is instant."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from metad2a.errors import MetaD2AError


class _Commands(typer.core.TyperGroup):
    """The commands, with the exit codes that other programs rely on."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; exit with 1 (the user's mistake) or 130 (interrupted) where it does not end well."""
        try:
            return super().invoke(ctx)
        except MetaD2AError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="From a labelled image data set to a ranked list of neural networks, without training anything.",
)

_HYDRA = {"allow_extra_args": True, "ignore_unknown_options": True}
Overrides = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[KEY=VALUE]...",
        show_default=False,
        help="Hydra overrides. `--cfg job` shows all keys and their values, `-m KEY=A,B` runs every combination.",
    ),
]


def main() -> None:
    """Run the command line; exit with 0, 1 (the user's mistake), 2 (wrong usage) or 130 (interrupted)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("lightning_fabric", "lightning.fabric", "matplotlib", "PIL"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    app()


@app.command()
def search(
    images: Annotated[str, typer.Argument(help="Folder with one sub-folder a class | file.npz | embedded:digits")],
    space: Annotated[str, typer.Option(help="Search space.")] = "nasbench201",
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Shipped name or file; give it twice for a generator's and a predictor's file."),
    ] = None,
    candidates: Annotated[int, typer.Option(help="Distinct architectures to generate.")] = 500,
    top: Annotated[int, typer.Option(help="How many to print.")] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    max_params: Annotated[float | None, typer.Option(help="Most trainable parameters.")] = None,
    max_flops: Annotated[float | None, typer.Option(help="Most multiply-adds of one image.")] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="Longest median milliseconds of one image on this machine."),
    ] = None,
    images_per_class: Annotated[int, typer.Option(help="Images embedded of each class.")] = 50,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the whole result here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
) -> None:
    """Propose and rank networks for a data set, training nothing."""
    from metad2a.cli.commands import search as command

    command.run(
        images,
        space=space,
        checkpoint=checkpoint or [space],
        candidates=candidates,
        top=top,
        seed=seed,
        limits={"max_params": max_params, "max_flops": max_flops, "max_latency_ms": max_latency_ms},
        images_per_class=images_per_class,
        device=device,
        json_file=json,
        html_file=html,
    )


@app.command(context_settings=_HYDRA)
def train(kind: Annotated[str, typer.Argument(help="generator | predictor")], overrides: Overrides = None) -> None:
    """Meta-train a generator or a predictor; Hydra overrides such as experiment=demo, -m seed=0,1,2."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.train(kind, overrides or [])


@app.command(context_settings=_HYDRA)
def evaluate(overrides: Overrides = None) -> None:
    """Compare a search with a table of true accuracies: dataset=IMAGES oracle=FILE oracle_column=NAME."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.evaluate(overrides or [])


@app.command("build-database", context_settings=_HYDRA)
def build_database(overrides: Overrides = None) -> None:
    """Really train networks on tasks and record how good they are; run again to continue."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.build_database(overrides or [])


@app.command()
def resume(run_dir: Annotated[Path, typer.Argument(help="Folder of an interrupted run.")]) -> None:
    """Continue an interrupted run, or demo, as if it had never stopped."""
    from metad2a.cli.commands import demo, hydra_jobs

    continue_ = demo.resume if (run_dir / demo.OPTIONS_FILE).is_file() else hydra_jobs.resume
    continue_(run_dir)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of all random decisions.")] = 0,
    quick: Annotated[bool, typer.Option(help="A few steps of everything: does it run?")] = False,
) -> None:
    """Meta-train on the embedded data, search unseen images, train the winner, write a report."""
    from metad2a.cli.commands import demo as command

    command.run(out, seed=seed, quick=quick)


@app.command("import")
def import_(
    what: Annotated[str, typer.Argument(help="metad2a-database")],
    source: Annotated[Path, typer.Argument(help="The official files' folder.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Read official files, safely, and write them as a database of this project."""
    from metad2a.cli.commands import import_files

    import_files.run(what, source, out)


@app.command()
def ls(
    what: Annotated[
        str, typer.Argument(help="One kind: spaces, embedders, checkpoints ...; see the output without it.")
    ] = "all",
) -> None:
    """List what there is."""
    from metad2a.cli.commands import listing

    listing.run(what)


@app.command()
def info(
    what: Annotated[str | None, typer.Argument(help="A checkpoint, a database or a run folder.")] = None,
) -> None:
    """Describe this installation, or a checkpoint, a database, a run."""
    from metad2a.cli.commands import information

    information.run(what)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="Folder of a run, or of the runs of one sweep.")],
    html: Annotated[Path, typer.Option(help="Where to write it.")] = Path("report.html"),
) -> None:
    """Write the learning curves of one or several runs as one HTML file that needs no network."""
    from metad2a.cli.commands import run_report

    run_report.run(run_dir, html)


if __name__ == "__main__":
    main()
