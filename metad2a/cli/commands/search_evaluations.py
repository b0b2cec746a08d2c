"""What ``metad2a search`` evaluates truly, when asked to: queries, and the first candidates."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING

from metad2a.cli import output
from metad2a.cli.commands.search_wanted import Wanted
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import ArchitectureError, ConfigError
from metad2a.fitting.recipes import get_recipe
from metad2a.oracles.base import Oracle
from metad2a.runtime import resolve_device
from metad2a.search.metad2a import MetaD2A
from metad2a.search.querying import Queried, spend
from metad2a.search.result import SearchResult
from metad2a.spaces.base import Architecture, SearchSpace
from metad2a.spaces.scale import NetworkScale

if TYPE_CHECKING:  # who trains nothing does not wait for the training loop
    from metad2a.fitting.parts import Parts
    from metad2a.search.then_train import ThenTrained

_TRAININGS = "then-train"  # folder in that of runs


def parts_of(opened: ImageSet | FeatureSet, wanted: Wanted) -> "Parts | None":
    """Divide the images where networks are to be trained: the search may see those to learn from, and no others."""
    option = f"--then-train {wanted.then_train}" if wanted.then_train else f"--queries {wanted.queries}"
    if not wanted.trains:
        return None
    if isinstance(opened, FeatureSet):
        raise ConfigError(f"{option}: '{opened.name}' holds features, but networks learn from images.")
    from metad2a.fitting.parts import split_parts

    return split_parts(opened)


def check_recipe(space: SearchSpace, networks: NetworkScale, wanted: Wanted) -> None:
    """Refuse a recipe for networks of another space, before anything is searched.

    Raises:
        ConfigError: it has size options that the space has not.
    """
    if not wanted.trains or networks.options:  # which take the place of the recipe's
        return
    recipe = get_recipe(wanted.recipe)
    try:
        NetworkScale.of(space, options=recipe.scale)
    except ArchitectureError as error:
        raise ConfigError(
            f"--recipe {wanted.recipe}: {error} Give a recipe without scale, such as finetune_short, or --scale."
        ) from error


def oracle_of(space: SearchSpace, wanted: Wanted) -> Oracle | None:
    """Open the oracle that queries are to ask; None where there are none or networks are to be trained for them."""
    if not wanted.queries or wanted.oracle is None or wanted.oracle_column is None:
        return None
    from metad2a.oracles.opening import open_oracle

    return open_oracle(wanted.oracle, wanted.oracle_column, space)


def query(
    model: MetaD2A,
    result: SearchResult,
    parts: "Parts | None",
    oracle: Oracle | None,
    wanted: Wanted,
    device: str,
) -> Queried:
    """Spend true evaluations: an oracle's, or networks really trained and measured on validation images."""
    searcher = model.query_searcher(result)
    evaluate: Callable[[list[Architecture]], Sequence[float]]
    if oracle is not None:
        name, evaluate = oracle.name, lambda archs: oracle.evaluate(archs).tolist()
    else:
        assert parts is not None  # noqa: S101  (parts_of has divided the images for this)
        name, evaluate = _trainings(model, result, parts, wanted, device)
    with nullcontext() if oracle is not None else _kept_where_interrupted():
        queried = spend(
            searcher,
            model.space,
            evaluate,
            queries=wanted.queries,
            enough=wanted.enough,
            oracle=name,
            on_query=output.print_query,
        )
    output.print_queried(queried, asked=wanted.queries, rank=rank_of(queried.best, result))
    return queried


def rank_of(arch: str, result: SearchResult) -> int:
    """Return the rank of the candidate with that text."""
    return next(one.rank for one in result.candidates if one.arch == arch)


def _trainings(
    model: MetaD2A, result: SearchResult, parts: "Parts", wanted: Wanted, device: str
) -> tuple[str, "Callable[[list[Architecture]], Sequence[float]]"]:
    """Return name and function of an evaluation that trains as --then-train does, and keeps it there."""
    from metad2a.fitting.precision import one_device
    from metad2a.search.candidate_trainer import CandidateTrainer, recipe_for

    recipe = recipe_for(result, get_recipe(wanted.recipe))
    loaded = parts.load(recipe.resolution)
    loaded.tell_leaks()
    trainer = CandidateTrainer(
        model.space,
        loaded,
        recipe,
        folder=wanted.runs / _TRAININGS,
        fabric=one_device(resolve_device(device)),
    )
    name = f"{trainer.name}, on validation images"
    return name, partial(trainer.accuracies, seeds=range(wanted.train_seeds))


@contextmanager
def _kept_where_interrupted() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        print("finished trainings are kept: the same command goes on with the next one.", file=sys.stderr)
        raise


def train(result: SearchResult, parts: "Parts", wanted: Wanted, device: str) -> "ThenTrained":
    """Train the first candidates, and print what came of it."""
    from metad2a.cli.fit_output import print_then_trained
    from metad2a.fitting.precision import one_device
    from metad2a.search.then_train import then_train

    with _kept_where_interrupted():
        trained = then_train(
            result,
            parts,
            get_recipe(wanted.recipe),
            k=wanted.then_train,
            seeds=range(wanted.train_seeds),
            folder=wanted.runs / _TRAININGS,
            fabric=one_device(resolve_device(device)),
        )
    print_then_trained(trained)
    return trained
