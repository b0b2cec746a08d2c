"""Why a search found what it found, how far to trust it, and what to try next."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from metad2a.data.features import FeatureSet
from metad2a.search.advice import Advice, advise, advise_knowing
from metad2a.search.best_known import BestKnown
from metad2a.search.differences import Differences, differences
from metad2a.search.explanation_words import of_differences, of_likeness, of_predicted, of_sureness
from metad2a.search.likeness import Likeness, likeness
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.search.sureness import Sureness, sureness

_CLASSES = 50  # told in plain data


@dataclass(frozen=True)
class Explanation:
    """What a result explains of itself; docs/how-to/read-the-report.md says how to read it.

    Attributes:
        likeness: where the data set lies among what meta-training has seen.
        sureness: of the predictor.
        differences: between candidates.
        advice: what to try next, the most useful first.
    """

    likeness: Likeness
    sureness: Sureness
    differences: Differences
    advice: tuple[Advice, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """What should make one careful; none for a data set like those of meta-training."""
        return self.about_likeness()[:1] if self.likeness.level in ("far", "unusual") else ()

    def about_predicted(self) -> tuple[str, ...]:
        """Return a sentence on the scale of what is predicted."""
        return of_predicted(self.sureness)

    def about_likeness(self) -> tuple[str, ...]:
        """Return sentences on where the data set lies."""
        return of_likeness(self.likeness)

    def about_sureness(self) -> tuple[str, ...]:
        """Return sentences on how sure the predictor is."""
        return of_sureness(self.sureness, self.likeness)

    def about_differences(self) -> tuple[str, ...]:
        """Return sentences on how candidates differ."""
        return of_differences(self.differences)

    def knowing(self, best: BestKnown, result: SearchResult, *, images: str = "IMAGES") -> "Explanation":
        """Return the explanation of ``result`` when true evaluations of candidates have found ``best``."""
        return replace(self, advice=advise_knowing(best, self.advice, result, images=images))

    def findings(self) -> list[str]:
        """Return what explains the result in few sentences, for a terminal."""
        parts: Sequence[tuple[str, ...]] = (
            self.about_predicted(),
            self.about_likeness(),
            self.about_sureness()[:2],
            self.about_differences()[:1],
        )
        return [sentence for part in parts for sentence in part]

    def next_steps(self) -> list[str]:
        """Return the most useful advice, for the end of what a terminal shows."""
        return [f"Next: {one.text} {one.command}".rstrip() for one in self.advice[:2]]

    def sentences(self) -> list[str]:
        """Return the whole of it in few sentences."""
        return [*self.findings(), *self.next_steps()]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain data; of many classes the farthest alone."""
        plain = asdict(self)
        plain["likeness"]["classes"] = plain["likeness"]["classes"][:_CLASSES]
        plain["sureness"]["odds"] = {str(rank): chance for rank, chance in self.sureness.odds.items()}
        return plain | {"sentences": self.sentences()}


def explain(
    model: MetaD2A, features: FeatureSet, result: SearchResult, *, images: str = "IMAGES", again: str = ""
) -> Explanation:
    """Explain ``result``; nothing is predicted or embedded anew.

    Args:
        model: that searched.
        features: of the searched images.
        result: of the search.
        images: how the commands that are proposed call the images.
        again: options of the search that those which search again need, too; but not how many images it looked at.
    """
    near = likeness(features, model.checkpoint.reference)
    sure = sureness(model.checkpoint, result)
    differ = differences(model.space, result, tied=sure.tied)
    advice = advise(
        near,
        sure,
        result,
        fewest=int(features.counts.min()),
        wanted=model.checkpoint.images_per_class,
        images=images,
        again=again,
    )
    return Explanation(near, sure, differ, advice)
