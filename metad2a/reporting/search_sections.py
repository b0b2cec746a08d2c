"""What a report shows of a search, section by section."""

from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from metad2a import __version__
from metad2a.data.image_set import ImageSet
from metad2a.data.inspection import Inspection
from metad2a.errors import ArchitectureError
from metad2a.reporting.cells import cell_from_graph, cell_from_text, draw_cell
from metad2a.reporting.figures import Cell, Chart, Table, predicted_histogram, timings
from metad2a.reporting.html import Drawing, Section, Step
from metad2a.reporting.scatter import Spot, scatter
from metad2a.reporting.thumbnails import class_pictures
from metad2a.search.explanation import Explanation
from metad2a.search.pareto import COSTS
from metad2a.search.querying import Queried
from metad2a.search.result import Candidate, SearchResult
from metad2a.search.told_apart import told_apart
from metad2a.spaces.base import SearchSpace

if TYPE_CHECKING:  # who trains nothing does not wait for the training loop
    from metad2a.search.then_train import ThenTrained

_DRAWN = 6
_DRAWN_SHARE = 0.9
_PLOTTED = 500  # points of a plot, about
_COST_NAMES = {
    "params": "parameters",
    "flops": "multiply-adds",
    "latency_ms": "latency, ms",
    "memory_mb": "memory, MB",
}


def search_sections(
    result: SearchResult,
    *,
    top: int,
    images: ImageSet | None = None,
    inspection: Inspection | None = None,
    explanation: Explanation | None = None,
    trained: "ThenTrained | None" = None,
    queried: Queried | None = None,
) -> list[Section]:
    """Return what was found, in what, why, and how.

    Args:
        result: of the search.
        top: candidates in the table.
        images: that were searched; without them no pictures.
        inspection: of these images, if they were.
        explanation: of the result, if there is one.
        trained: the first candidates after training, if they were.
        queried: what true evaluations of candidates found, if there were any.
    """
    sections = [
        *([_trained(trained)] if trained is not None else []),
        *([_queried(result, queried)] if queried is not None else []),
        _first(result, top, explanation),
        _trade_offs(result, top),
        *([_data_set(images, inspection)] if images is not None else []),
        *(_explained(result, explanation) if explanation is not None else []),
        _all_candidates(result, top),
        Section("Time of the search", chart=timings({k: v for k, v in result.timing.items() if k != "total_s"})),
    ]
    if explanation is not None:
        steps = [Step(one.text, one.command) for one in explanation.advice]
        sections.append(Section("What to try next", steps=steps))
    return sections


def _first(result: SearchResult, top: int, explanation: Explanation | None) -> Section:
    shown = result.candidates[:top]
    timed = any(candidate.latency_ms is not None for candidate in shown)
    held = any(candidate.memory_mb is not None for candidate in shown)
    columns = ["rank", "architecture", "predicted %", "parameters", "multiply-adds"]
    columns += [name for name, known in (("latency ms", timed), ("memory MB", held)) if known]
    rows = [
        _row(candidate, predicted, timed=timed, held=held)
        for candidate, predicted in zip(shown, _predicted(shown), strict=True)
    ]
    networks = result.networks
    texts = [f"Networks of {networks}."] if networks.differs(result.best.space) else []
    return Section(
        "The first-ranked candidates",
        text=" ".join([*texts, *(explanation.about_predicted() if explanation is not None else ())]),
        warning=" ".join(explanation.warnings) if explanation is not None else "",
        cells=_drawn(shown[:_DRAWN]),
        table=Table(columns, rows),
    )


def _predicted(shown: Sequence[Candidate]) -> list[Decimal]:
    return told_apart([candidate.predicted for candidate in shown])


def _row(candidate: Candidate, predicted: Decimal, *, timed: bool, held: bool) -> list[Cell]:
    row: list[Cell] = [candidate.rank, candidate.arch, predicted, candidate.params, candidate.flops]
    if timed:
        row.append(candidate.latency_ms)
    if held:
        row.append(candidate.memory_mb)
    return row


def _drawn(shown: Sequence[Candidate]) -> list[Drawing]:
    return [
        Drawing(drawing(one.space, one.arch), f"{one.rank}: {predicted} %, {one.params:,} parameters")
        for one, predicted in zip(shown, _predicted(shown), strict=True)
    ]


def _trade_offs(result: SearchResult, top: int) -> Section:
    known = [cost for cost in COSTS if getattr(result.best, cost) is not None]
    return Section(
        "Accuracy against cost",
        text="Nobody beats the squares: no candidate is predicted better at the same cost or less. "
        "The lowest tenth of the predictions is left out.",
        charts=[_trade_off(result, cost, top) for cost in known],
    )


def _trade_off(result: SearchResult, cost: str, top: int) -> Chart:
    best = result.pareto(cost)
    front = {candidate.rank for candidate in best}
    step = -(-len(result.candidates) // _PLOTTED)
    last = _DRAWN_SHARE * len(result.candidates)  # a few very bad ones would press the others together
    shown = [
        c for c in result.candidates if c.rank in front or c.rank <= top or (c.rank % step == 0 and c.rank <= last)
    ]
    spots = [
        Spot(
            float(getattr(c, cost)),
            c.predicted,
            f"rank {c.rank}: {c.predicted:.2f} %, {_amount(c, cost)}",
            c.arch,
            "front" if c.rank in front else "top" if c.rank <= top else "other",
        )
        for c in shown
    ]
    rows = [
        (one.rank, predicted, getattr(one, cost)) for one, predicted in zip(best, _predicted(best), strict=True)
    ]
    return scatter(spots, cost=_COST_NAMES[cost], table=Table(("rank", "predicted %", _COST_NAMES[cost]), rows))


def _amount(candidate: Candidate, cost: str) -> str:
    value, (name, _, unit) = getattr(candidate, cost), _COST_NAMES[cost].partition(", ")
    return f"{value:.2f} {unit} of {name}" if unit else f"{value:,} {name}"


def _data_set(images: ImageSet, inspection: Inspection | None) -> Section:
    pictures = class_pictures(images)
    counts = images.counts
    few = (
        "" if len(pictures) == images.num_classes else f"{len(pictures)} of {images.num_classes} classes are shown."
    )
    facts: dict[str, Cell] = {
        "images": len(images),
        "classes": images.num_classes,
        "smallest class": int(counts.min()),
        "largest class": int(counts.max()),
    }
    if inspection is None:
        return Section("Your images", text=few, facts=facts, classes=pictures)
    sizes = inspection.sizes
    if sizes is not None:
        facts["median size"] = f"{sizes.width[1]} x {sizes.height[1]} pixels"
    found = [(one.what, one.count, one.action, ", ".join(one.examples)) for one in inspection.findings]
    return Section(
        "Your images",
        text=few if found else f"{few} Inspection found nothing to tell of.".lstrip(),
        facts=facts,
        classes=pictures,
        table=Table(("found", "times", "what is done", "for example"), found) if found else None,
    )


def _explained(result: SearchResult, explanation: Explanation) -> list[Section]:
    near, sure, differ = explanation.likeness, explanation.sureness, explanation.differences
    by_rank = {candidate.rank: candidate for candidate in result.candidates}
    columns = ("your class", "nearest class seen", "distance", "% of classes nearer")
    classes = Table(columns, [(one.name, one.nearest, one.distance, one.percentile) for one in near.classes])
    odds = Table(("rank", "% chance that the first is better"), [(r, round(100 * p)) for r, p in sure.odds.items()])
    motifs = Table(
        ("what is chosen", f"% of the first {differ.top}", "% of all"),
        [(one.name, round(100 * one.top), round(100 * one.all)) for one in differ.motifs],
    )
    return [
        Section(
            "Where your data set lies",
            notes=explanation.about_likeness(),
            more=("All classes, the farthest first", classes) if near.classes else None,
        ),
        Section("How sure the predictor is", notes=explanation.about_sureness(), table=odds if odds.rows else None),
        Section(
            "How the candidates differ",
            notes=explanation.about_differences(),
            table=motifs if motifs.rows else None,
            cells=_drawn([by_rank[rank] for rank in differ.picks]) if len(differ.picks) > 1 else (),
        ),
    ]


def _all_candidates(result: SearchResult, top: int) -> Section:
    predicted = np.array([candidate.predicted for candidate in result.candidates])
    facts: dict[str, Cell] = {
        "data set": f"{result.dataset['name']}, {result.dataset['classes']} classes",
        "images used": result.dataset["images_used"],
        "embedder": result.dataset["embedder"],
        "checkpoint": result.checkpoint,
        "seed": result.seed,
        "metad2a": __version__,
        **{f"graphs {name}": count for name, count in result.generation.items()},
    }
    return Section("All candidates", facts=facts, chart=predicted_histogram(predicted, picked=predicted[:top]))


def _trained(trained: "ThenTrained") -> Section:
    chosen = trained.chosen.candidate
    rows = [(one.candidate, (one.mean, one.std, one.seconds)) for one in trained.trained]
    reached = float(np.mean(trained.test_accuracies))
    return _evaluated(
        "Really trained",
        f"Of the first {len(rows)} candidates rank {chosen.rank} was best on validation images. It reaches "
        f"{reached:.2f} % on {trained.images['test']:,} test images, which decided nothing.",
        ("validation %", "standard deviation", "seconds"),
        rows,
    )


def _queried(result: SearchResult, queried: Queried) -> Section:
    by_arch = {candidate.arch: candidate for candidate in result.candidates}
    return _evaluated(
        "Truly evaluated",
        f"{len(queried.trail)} evaluations by {queried.oracle}, one after another where most was promised. Rank "
        f"{by_arch[queried.best].rank} was best: {queried.accuracy:.2f} %.",
        ("true %",),
        [(by_arch[arch], (accuracy,)) for arch, accuracy in queried.trail],
    )


def _evaluated(
    heading: str, text: str, measured: Sequence[str], rows: Sequence[tuple[Candidate, Sequence[Cell]]]
) -> Section:
    """Return candidates with what was measured of each."""
    predicted = _predicted([one for one, _ in rows])
    table = Table(
        ("rank", "architecture", "predicted %", *measured),
        [(one.rank, one.arch, said, *numbers) for (one, numbers), said in zip(rows, predicted, strict=True)],
    )
    return Section(heading, text=text, table=table)


def drawing(space: SearchSpace, arch: str) -> str:
    """Return the drawing of the text where it describes a cell, else of the graph."""
    try:
        return draw_cell(cell_from_text(arch))
    except ArchitectureError:
        names = ["in", "out", *(f"type {number}" for number in range(2, space.num_types))]
        return draw_cell(cell_from_graph(space.encode([space.parse(arch)]), 0, names))
