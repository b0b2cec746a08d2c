"""What to try after a search."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from metad2a.fitting.recipes import get_recipe
from metad2a.search.best_known import BestKnown
from metad2a.search.likeness import Likeness
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.sureness import Sureness
from metad2a.search.told_apart import told_apart
from metad2a.spaces.scale import has_scale

_SMALLER = 0.75  # share of the first candidate's parameters that is worth a hint
_TRAINED = 5
_TRAIN, _FIT = "--then-train", "metad2a fit-network"
_IMAGES_PER_CLASS = 50  # that a command looks at if it is told of no number
_USUAL = "short"  # the recipe of a command that is told of none
_RECIPE = "finetune_short"  # for networks of whatever space
_CLASSES_A_TASK = 5  # of a database of one's own; more classes are needed to make different tasks of them


@dataclass(frozen=True)
class Advice:
    """One thing to try.

    Attributes:
        text: why, in a sentence.
        command: what to type; empty where there is none.
    """

    text: str
    command: str = ""


def advise(
    near: Likeness,
    sure: Sureness,
    result: SearchResult,
    *,
    fewest: int,
    wanted: int,
    images: str,
    again: str = "",
) -> tuple[Advice, ...]:
    """Return what to try, the most useful first.

    Args:
        near: where the data set lies.
        sure: how sure the predictor is.
        result: of the search.
        fewest: images of the smallest class.
        wanted: images a class that the models look at.
        images: how a command calls the data set.
        again: options of the search that another one needs, too; but not how many images it looked at.
    """
    name = shlex.quote(images)
    anew = f"metad2a search {name} {again}".rstrip()
    allowed = result.images_per_class or _IMAGES_PER_CLASS
    search = anew + _looking_at(allowed)
    found: list[Advice] = []
    if fewest < wanted:
        found.append(_few_images(fewest, wanted, allowed, name, anew))
    if sure.tied is None or sure.tied > 1:
        count = min(_TRAINED, len(result.candidates))
        several = f"The order of the first candidates is weak: train the first {count} and let them decide."
        found.append(Advice(several, " ".join([f"{search} {_TRAIN} {count}", *_recipe(result, "--recipe ")])))
    if near.level in ("far", "unusual"):
        found.append(_own_database(images, int(result.dataset["classes"])))
    small = _smaller(result, sure.tied)
    if small is not None:
        first, other = told_apart([result.best.predicted, small.predicted])
        text = (
            f"Rank {small.rank} has {small.params / result.best.params:.0%} of the parameters of the first, and "
            f"is predicted {first - other} points lower: search among the small ones."
        )
        found.append(Advice(text, f"{search} --max-params {small.params}"))
    found.append(Advice("Train the first-ranked network to its end.", _fit(result.best, name, result)))
    return tuple(found)


def advise_knowing(
    best: BestKnown, advice: Sequence[Advice], result: SearchResult, *, images: str
) -> tuple[Advice, ...]:
    """Return what to do with the best of those that were evaluated truly, and what is left of ``advice`` then."""
    kept = [one for one in advice if _TRAIN not in one.command and not one.command.startswith(_FIT)]
    command = _fit(result.candidates[best.rank - 1], shlex.quote(images), result)
    return (Advice(f"Train rank {best.rank}, the best that {best.by} found, to its end.", command), *kept)


def _fit(candidate: Candidate, name: str, result: SearchResult) -> str:
    return " ".join([_FIT, shlex.quote(candidate.arch), name, *_of_this_search(result)])


def _looking_at(images_per_class: int) -> str:
    return "" if images_per_class == _IMAGES_PER_CLASS else f" --images-per-class {images_per_class}"


def _few_images(fewest: int, wanted: int, images_per_class: int, name: str, anew: str) -> Advice:
    if fewest < images_per_class:
        text = f"A class has only {fewest} of the {wanted} images that the models look at: add images."
        return Advice(text, f"metad2a inspect {name}")
    text = f"The search saw {images_per_class} images of a class, but the models look at {wanted}: let it see more."
    return Advice(text, anew + _looking_at(max(wanted, _IMAGES_PER_CLASS)))


def _of_this_search(result: SearchResult) -> list[str]:
    """Return what `metad2a fit-network` must be told beside an architecture and images."""
    options = result.best.scale
    named = [f"space={result.best.space.name}", *_recipe(result, "recipe=")]
    sizes = ",".join(f"{name}:{value}" for name, value in options.items())
    return [*named, *(["'~recipe.scale'", f"'+recipe.scale={{{sizes}}}'"] if options else [])]


def _recipe(result: SearchResult, option: str) -> list[str]:
    """Return what names a recipe, where the one that is used otherwise is of sizes that the space does not have."""
    return [] if has_scale(result.best.space, get_recipe(_USUAL).scale) else [f"{option}{_RECIPE}"]


def _own_database(images: str, classes: int) -> Advice:
    text = "Meta-training saw nothing like it: models that learn from a database of your images would have."
    if classes <= _CLASSES_A_TASK:
        return Advice(f"{text} It takes more than {_CLASSES_A_TASK} classes.")
    mine = {"images": images, "licence": "mine", "classes_per_task": _CLASSES_A_TASK}
    source = " ".join(shlex.quote(f"label_source.mine.{name}={value}") for name, value in mine.items())
    return Advice(text, f"metad2a build-database --dry-run out=my_database label_source=images {source}")


def _smaller(result: SearchResult, tied: int | None) -> Candidate | None:
    """Return the smallest of the candidates that cannot be told from the first, if it is much smaller."""
    smallest = min(result.candidates[: tied or 1], key=lambda candidate: candidate.params)
    return smallest if smallest.params <= _SMALLER * result.best.params else None
