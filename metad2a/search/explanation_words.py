"""The sentences of an explanation."""

from metad2a.search.differences import Differences
from metad2a.search.likeness import Likeness
from metad2a.search.sureness import Sureness

_AGREES = 0.9
_LISTED = 3
_ALL = 99.5  # percent, rounded


def of_likeness(near: Likeness) -> tuple[str, ...]:
    """Return where the data set lies, the verdict first."""
    if not near.known_classes:
        return (
            "The checkpoint does not say what it was meta-trained on: nobody knows how like it your images are.",
        )
    sentences = [_verdict(near)]
    if near.uncertain:
        sentences.append("With one image a class that is a guess: give at least two.")
    if near.level != "near":
        farthest = ", ".join(f"'{one.name}' (nearest: {one.nearest})" for one in near.classes[:_LISTED])
        sentences.append(f"Farthest from all it has seen: {farthest}.")
    if near.tasks:
        task = near.tasks[0]
        known = (
            "" if task.accuracy is None else f"; networks trained on it reached {task.accuracy:.1f} % on average"
        )
        sentences.append(
            f"Of {near.known_tasks:,} tasks the nearest has the classes {', '.join(task.classes)}{known}."
        )
    return tuple(sentences)


def _verdict(near: Likeness) -> str:
    if near.percentile is None:
        return f"Meta-training had too few classes ({near.known_classes}) to say which distance is usual."
    share = "all" if near.percentile >= _ALL else f"{near.percentile:.0f} of 100"
    return {
        "near": "The data set is like those of meta-training",
        "unusual": "Careful: the data set is unusual for these models",
        "far": "Careful: the data set is far from everything seen in meta-training",
    }[near.level] + f" ({share} classes seen there are nearer to another one than your typical class is to any)."


def of_predicted(sure: Sureness) -> tuple[str, ...]:
    """Return on which scale accuracies are predicted."""
    known = [] if sure.recipe is None else [f"recipe {sure.recipe}"]
    known += [] if sure.target_mean is None else [f"mean {sure.target_mean:.1f} %"]
    labels = f" ({'; '.join(known)})" if known else ""
    return (f"predicted %: on the scale of the checkpoint's labels{labels}, not the accuracy that you will get.",)


def of_sureness(sure: Sureness, near: Likeness) -> tuple[str, ...]:
    """Return how sure the predictor is, the most important first."""
    sentences = []
    if sure.tied is not None and (sure.tied > 1 or sure.odds):
        rest = ", ".join(f"{chance:.0%} against rank {rank}" for rank, chance in sure.odds.items())
        kind = "" if near.level == "near" else ", on data sets like those of meta-training"
        sentences.append(
            (f"The first {sure.tied} candidates can hardly be told apart. " if sure.tied > 1 else "")
            + (f"Chances that the first is really better{kind}: {rest}." if rest else "")
        )
    if sure.error is not None and sure.target_std is not None:
        sentences.append(
            f"On meta-validation predictions are off by {sure.error:.1f} points on average (standard deviation of "
            f"accuracies: {sure.target_std:.1f}): trust the order more than the number."
        )
    if sure.agreement is not None:
        word = "hardly depends" if sure.agreement >= _AGREES else "depends"
        sentences.append(
            f"The order {word} on which images are drawn (rank correlation {sure.agreement:.2f} between draws; the "
            f"first is among the first ten in {sure.first_stays:.0%} of {sure.draws})."
        )
    if sure.spearman is not None and sure.spearman_advantage is not None:
        sentences.append(
            f"On tasks it was validated on, the predictor's rank correlation is {sure.spearman:.2f}, and "
            f"{sure.spearman_advantage:.2f} without what the task alone tells."
        )
    if sure.pair_error is not None and not sure.pair_error_measured:
        sentences.append("The chances are deduced from the mean error: the checkpoint says nothing on differences.")
    return tuple(sentences)


def of_differences(differ: Differences) -> tuple[str, ...]:
    """Return how the candidates differ."""
    sentences = []
    if differ.shared or differ.motifs:
        common = [f"{name} (every one)" for name in differ.shared]
        common += [
            f"{one.name} ({one.top:.0%}; of all {one.all:.0%})"
            for one in differ.motifs
            if one.name not in differ.shared
        ]
        sentences.append(f"The first {differ.top} have in common: {', '.join(common[: _LISTED + 1])}.")
    if differ.apart is not None:
        sentences.append(
            f"Two of the first {differ.top} differ in {differ.apart:.1f} of {differ.decisions} decisions (mean)."
        )
    if len(differ.picks) > 1:
        ranks = ", ".join(map(str, differ.picks))
        sentences.append(f"To try networks that are really different, take ranks {ranks}.")
    return tuple(sentences)
