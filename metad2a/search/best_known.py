"""Which network of a search is the best that is known, from the plain data that a search leaves."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TRAINED = "training:"  # how the names of oracles begin that train


@dataclass(frozen=True)
class BestKnown:
    """The candidate that true evaluations found best.

    Attributes:
        rank: that it was predicted to have.
        accuracy: that was measured, in percent.
        by: the option that asked for it, ``--then-train`` or ``--queries``.
    """

    rank: int
    accuracy: float
    by: str


def best_known(content: Mapping[str, Any]) -> BestKnown | None:
    """Return the best candidate that was evaluated; None where all is predicted.

    What was trained on the searched images outweighs what an oracle says, whose accuracies are of another kind.

    Args:
        content: of the file that ``metad2a search --json`` writes.

    Raises:
        KeyError, TypeError, StopIteration: it is no such content.
    """
    trained, queried = content.get("then_train"), content.get("queries")
    found = []
    if trained:
        rank = trained["chosen"]["rank"]
        mean = next(one["valid_mean"] for one in trained["candidates"] if one["rank"] == rank)
        found.append(BestKnown(int(rank), float(mean), "--then-train"))
    if queried and (not trained or queried.get("oracle", "").startswith(_TRAINED)):
        rank = next(one["rank"] for one in content["candidates"] if one["arch"] == queried["best"])
        found.append(BestKnown(int(rank), float(queried["accuracy"]), "--queries"))
    return max(found, key=lambda one: one.accuracy, default=None)
