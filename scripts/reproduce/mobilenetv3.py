"""The MobileNetV3 search of the paper: 200 networks for each data set, generated and ranked.

Writes the list; it does NOT reproduce the paper's accuracies, since fine-tuning the winner (150 epochs at 224
pixels, from Once-for-All's weights) is not part of this project yet. The official code joins 100 draws of the data
set to one set of a hundred times as many classes, for every network; here a set is one draw of it.

A network's score is its predicted accuracy in standard deviations above the mean of the predictor's meta-training
records: what these were in percent is not published.
"""

from typing import Any

from _script import add_models, at_least, find_models, markdown, parser, run, write

from metad2a.evaluation.paper.files import (
    MOBILENETV3_GENERATOR,
    OfficialFolder,
    features_file,
    official_features,
    official_model,
)
from metad2a.search.metad2a import MetaD2A
from metad2a.search.result import SearchResult
from metad2a.spaces.mobilenetv3 import to_official

FEATURES = {"cifar10": "cifar10", "cifar100": "cifar100", "aircraft": "aircraft100", "pets": "pets"}
CENTRE, UNIT = 50.0, 1.0  # percent; any pair gives the same ranking, this one leaves room on both sides
SHOWN = 5


def main() -> None:
    options = parser(__doc__, "mobilenetv3")
    options.add_argument("--dataset", nargs="+", choices=FEATURES, default=list(FEATURES))
    options.add_argument("--candidates", type=at_least(1), default=200)
    options.add_argument("--max-flops", type=float, help="most multiply-adds of an image of 224 pixels, e.g. 5e8")
    options.add_argument("--constrained", action="store_true", help="decode by the space's rules: all are valid")
    options.add_argument("--seed", type=int, default=0)
    add_models(options)
    given = options.parse_args()

    official = OfficialFolder(given.folder)
    generator, predictor = find_models(official, MOBILENETV3_GENERATOR, given)
    features = {name: official.file(features_file(FEATURES[name])) for name in given.dataset}
    official.check()

    model = official_model(generator, predictor, accuracies=(CENTRE, UNIT), device=given.device)
    for name in given.dataset:
        result = model.search(
            official_features(features[name], given.out / "imported"),
            n_candidates=given.candidates,
            max_flops=given.max_flops,
            random_state=given.seed,
            constrained=given.constrained,
        )
        write(given.out, name, _content(model, result, given.max_flops), _table(name, result))
    print("Not done: fine-tuning the winners (150 epochs, 224 pixels). It is not part of this project yet.")


def _content(model: MetaD2A, result: SearchResult, max_flops: float | None) -> dict[str, Any]:
    whole = result.to_dict()
    whole["max_flops"] = max_flops
    whole["candidates"] = [
        {
            "rank": candidate.rank,
            "score": candidate.predicted - CENTRE,
            "params": candidate.params,
            "flops": candidate.flops,
            "arch": candidate.arch,
            "net": to_official(model.space.parse(candidate.arch)),
        }
        for candidate in result.candidates
    ]
    return whole


def _table(name: str, result: SearchResult) -> str:
    rows = [
        [
            str(one.rank),
            f"{one.predicted - CENTRE:+.3f}",
            f"{one.flops / 1e6:.0f}",
            f"{one.params / 1e6:.2f}",
            one.arch,
        ]
        for one in result.candidates[:SHOWN]
    ]
    made, seconds = result.generation, result.timing["total_s"]
    counts = (
        f"{name}: {made['unique']} networks of {made['sampled']} graphs, {made['valid']} valid; {seconds:.1f} s"
    )
    return f"{counts}\n\n{markdown(['rank', 'score', 'MFLOPs', 'M parameters', 'network'], rows)}"


if __name__ == "__main__":
    run(main)
