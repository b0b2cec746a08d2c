"""The command line: ``metad2a COMMAND``. Heavy imports happen inside the commands, so that --help is instant."""

import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from metad2a.cli.commands import benchmark_options, data, database, import_options
from metad2a.errors import MetaD2AError, UsageError


class _Commands(typer.core.TyperGroup):
    """The commands, with the exit codes that other programs rely on."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command; where it does not end well exit with 1 (the user's mistake), 2 (usage) or 130 (Ctrl-C)."""
        from metad2a.runtime import keep_freed_memory

        keep_freed_memory()
        try:
            return super().invoke(ctx)
        except MetaD2AError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(2 if isinstance(error, UsageError) else 1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    help="From a labelled image data set to a ranked list of neural networks, without training anything.",
)

app.add_typer(benchmark_options.app, name="benchmark")
app.add_typer(data.app, name="data")
app.add_typer(database.app, name="database")

_IMAGES = "Folder with one sub-folder a class | file.npz | list.csv | torchvision:NAME | hf:NAME | embedded:digits"
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


def _tell_version(asked: bool) -> bool:
    if asked:
        from metad2a import __version__

        print(f"metad2a {__version__}")
        raise typer.Exit
    return asked


@app.callback()
def _metad2a(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_tell_version, help="Print the version.")
    ] = False,
) -> None:
    """What stands before a command."""


@app.command()
def search(
    images: Annotated[
        str,
        typer.Argument(help=f"{_IMAGES} | file.safetensors"),
    ],
    space: Annotated[
        str | None,
        typer.Option(help="Search space: names the shipped checkpoint, or what a file must be for."),
    ] = None,
    checkpoint: Annotated[
        list[str] | None,
        typer.Option(help="Shipped name or file; again for a generator's and a predictor's file, or several's."),
    ] = None,
    candidates: Annotated[int, typer.Option(help="Distinct architectures to generate.")] = 500,
    top: Annotated[int, typer.Option(help="How many to print.")] = 10,
    seed: Annotated[int, typer.Option(help="Same seed, same result.")] = 0,
    max_params: Annotated[float | None, typer.Option(help="Most trainable parameters.")] = None,
    max_flops: Annotated[float | None, typer.Option(help="Most multiply-adds of one image.")] = None,
    max_latency_ms: Annotated[
        float | None,
        typer.Option(help="Longest median milliseconds of one image on this machine, or on --latency-table's."),
    ] = None,
    max_memory_mb: Annotated[
        float | None,
        typer.Option(help="Most megabytes of one forward pass of one image: weights and live results."),
    ] = None,
    latency: Annotated[
        bool, typer.Option("--latency", help="Know latencies without a limit: measures 20 networks and the first.")
    ] = False,
    latency_table: Annotated[
        Path | None,
        typer.Option(
            help="CSV file with columns arch and ms, or of layers (import ofa): latencies of another device."
        ),
    ] = None,
    pareto: Annotated[
        str | None,
        typer.Option(help="Print the best trade-offs, too: params | flops | latency_ms | memory_mb."),
    ] = None,
    resolution: Annotated[
        int | None, typer.Option(help="Pixels a side of the images for which costs are counted.")
    ] = None,
    scale: Annotated[
        list[str] | None,
        typer.Option(help="A size option of the space for its networks, as width=120; may be repeated."),
    ] = None,
    want: Annotated[
        list[str] | None,
        typer.Option(help="What a generator with conditions aims at: accuracy=0.9, flops=3e7; may be repeated."),
    ] = None,
    label_recipe: Annotated[
        str | None,
        typer.Option(help="Of the recipes that the checkpoint learned from, the one to predict accuracies for."),
    ] = None,
    images_per_class: Annotated[int, typer.Option(help="Images embedded of each class.")] = 50,
    unconstrained: Annotated[
        bool, typer.Option("--unconstrained", help="Decode freely, as the official implementation does.")
    ] = False,
    refinements: Annotated[
        int | None,
        typer.Option(help="Rounds in which neighbours of the best replace the last; else up to the model."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto | cpu | cuda | mps")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the whole result here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report here.")] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Write the first --top networks here: Python code that needs torch alone, ONNX."),
    ] = None,
    onnx: Annotated[
        bool | None, typer.Option(help="Export: with ONNX files or not; else if the package onnx is installed.")
    ] = None,
    then_train: Annotated[
        int, typer.Option(metavar="K", help="Train the first K candidates and say which is really best.")
    ] = 0,
    recipe: Annotated[str, typer.Option(help="Of trainings: short | nasbench201 | ... | file.yaml")] = "short",
    train_seeds: Annotated[int, typer.Option(help="Trainings of each network.")] = 1,
    runs: Annotated[Path, typer.Option(help="Where trainings are kept.")] = Path("runs"),
    queries: Annotated[
        int,
        typer.Option(
            metavar="K", help="Spend up to K true evaluations where they promise most (needs a surrogate)."
        ),
    ] = 0,
    enough: Annotated[
        float, typer.Option(help="Stop them when the next one promises less than so many percent of accuracy.")
    ] = 0.0,
    oracle: Annotated[
        Path | None,
        typer.Option(help="What they ask: a table, predictor or supernet; else networks are trained in --recipe."),
    ] = None,
    oracle_column: Annotated[
        str | None, typer.Option(help="Column of a table; pixels of a predictor; a supernet's images.")
    ] = None,
) -> None:
    """Propose and rank networks for a data set, training nothing (unless --then-train or --queries asks for it)."""
    from metad2a.cli.commands import search as command

    command.run(
        images,
        space=space,
        checkpoint=checkpoint or [],
        options={
            "n_candidates": candidates,
            "random_state": seed,
            "max_params": max_params,
            "max_flops": max_flops,
            "max_latency_ms": max_latency_ms,
            "max_memory_mb": max_memory_mb,
            "measure_latency": latency,
            "images_per_class": images_per_class,
            "constrained": not unconstrained,
            "refinements": refinements,
            "want": command.wishes(want or []),
        },
        label_recipe=label_recipe,
        scale=command.Told(resolution, scale or []),
        latency_table=latency_table,
        device=device,
        wanted=command.Wanted(
            top=top,
            pareto=pareto,
            json=json,
            html=html,
            export=export,
            onnx=onnx,
            then_train=then_train,
            recipe=recipe,
            train_seeds=train_seeds,
            runs=runs,
            queries=queries,
            enough=enough,
            oracle=oracle,
            oracle_column=oracle_column,
        ),
    )


@app.command()
def inspect(
    images: Annotated[str, typer.Argument(help=_IMAGES)],
    json: Annotated[Path | None, typer.Option(help="Write everything here.")] = None,
) -> None:
    """Say what is in a data set, what is wrong with it, and what will be done about it; compute nothing."""
    from metad2a.cli.commands import inspect as command

    command.run(images, json_file=json)


@app.command(context_settings=_HYDRA)
def train(
    kind: Annotated[str, typer.Argument(help="generator | predictor | surrogate | supernet")],
    overrides: Overrides = None,
) -> None:
    """Meta-train a generator, predictor or surrogate, or a supernet; Hydra overrides such as experiment=demo."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.train(kind, overrides or [])


@app.command(context_settings=_HYDRA)
def evaluate(overrides: Overrides = None) -> None:
    """Compare a search with true accuracies: dataset=IMAGES oracle=TABLE|PREDICTOR|SUPERNET oracle_column=NAME."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.evaluate(overrides or [])


@app.command(context_settings=_HYDRA)
def compare(overrides: Overrides = None) -> None:
    """Compare methods by what they find with few true evaluations: methods=[...] datasets=[...] oracles=[...]."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.compare(overrides or [])


@app.command("build-database", context_settings=_HYDRA)
def build_database(
    overrides: Overrides = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan and how long it will take; build nothing.")
    ] = False,
) -> None:
    """Really train networks on tasks and record how good they are; run again to continue."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.build_database(overrides or [], dry_run=dry_run)


@app.command("fit-network", context_settings=_HYDRA)
def fit_network(
    arch: Annotated[
        str,
        typer.Argument(
            help="The space's text | FILE.json of a search: the best that is known | FILE.json#3: its third."
        ),
    ],
    dataset: Annotated[str, typer.Argument(help="Images, in any form that `metad2a search` takes.")],
    overrides: Overrides = None,
) -> None:
    """Train a found network and measure it on test images; recipe=short|nasbench201, test=DATASET, seed=0 ..."""
    from metad2a.cli.commands import hydra_jobs

    hydra_jobs.fit_network(arch, dataset, overrides or [])


@app.command()
def export(
    network: Annotated[
        str,
        typer.Argument(
            help="Run folder of fit-network, or a file of its weights | the space's text of an architecture | "
            "FILE.json of a search: the best that is known | FILE.json#3: its third."
        ),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    num_classes: Annotated[int | None, typer.Option(help="Outputs, where the network does not say.")] = None,
    space: Annotated[str | None, typer.Option(help="Search space of a text; else nasbench201.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights: of fit-network, or a state_dict of torch.")] = None,
    resolution: Annotated[int | None, typer.Option(help="Pixels a side of its images.")] = None,
    scale: Annotated[
        list[str] | None, typer.Option(help="A size option of the space, as channels=16; may be repeated.")
    ] = None,
    onnx: Annotated[
        bool | None,
        typer.Option("--onnx/--no-onnx", help="Write network.onnx; else if onnx is installed.", show_default=False),
    ] = None,
) -> None:
    """Write a network as Python code that needs torch alone, with its weights, as ONNX, and with a card."""
    from metad2a.cli.commands import export as command

    command.run(
        network,
        out,
        num_classes=num_classes,
        space=space,
        weights=weights,
        resolution=resolution,
        scale=scale or [],
        onnx=onnx,
    )


@app.command()
def resume(
    run_dir: Annotated[Path, typer.Argument(help="Folder of an interrupted run.")],
    devices: Annotated[
        str | None, typer.Option(help="Meta-train in another number of processes: a number or auto.")
    ] = None,
) -> None:
    """Continue an interrupted run, or demo, as if it had never stopped."""
    from metad2a.cli.commands import demo, hydra_jobs

    if (run_dir / demo.OPTIONS_FILE).is_file():
        demo.resume(run_dir)
    else:
        hydra_jobs.resume(run_dir, devices)


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Where everything goes.")] = Path("runs/demo"),
    seed: Annotated[int, typer.Option(help="Of all random decisions.")] = 0,
    quick: Annotated[bool, typer.Option(help="A few steps of everything: does it run?")] = False,
) -> None:
    """Meta-train on the embedded data, search unseen images, train the winner, write a report."""
    from metad2a.cli.commands import demo as command

    command.run(out, seed=seed, quick=quick)


app.command("import")(import_options.import_)


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
    what: Annotated[
        str | None, typer.Argument(help="A checkpoint, a supernet, features, a database or a run.")
    ] = None,
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
