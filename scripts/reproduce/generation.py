"""Validity, uniqueness and novelty of what the official generator makes, from the authors' files.

Three rows for each data set: independent draws by the official, free decoder; independent draws by the decoder that
the search space constrains; and what a search hands out, which repeats nothing. Validity is the share of valid
graphs, uniqueness the share of different cells among the valid, novelty the share of the different cells that the
generator was not trained on. (Of 1,000 uniform draws of the space 96.9 % would be unique.)
"""

from _script import add_models, at_least, cell, find_models, markdown, parser, run, write

from metad2a.database.importers.official import import_official
from metad2a.evaluation.paper.files import (
    GENERATOR,
    OfficialFolder,
    features_file,
    nasbench201_database,
    official_features,
    official_model,
)
from metad2a.evaluation.paper.nasbench201 import Quality, drawn_quality, handed_out_quality

PUBLISHED = {  # percent, of 1,000 cells, as their papers report them
    "DiffusionNAG": (98.97, 98.70, 49.20),
    "POMONAG": (99.97, 34.14, 37.41),
    "PNAG": (100.0, 99.70, 59.34),
}


def main() -> None:
    options = parser(__doc__, "generation")
    options.add_argument("--dataset", nargs="+", default=["cifar10"], metavar="NAME", help="NAME of NAMEbylabel.pt")
    options.add_argument("--cells", type=at_least(1), default=1000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--skip-novelty", action="store_true", help="do without the meta-training database")
    add_models(options)
    given = options.parse_args()

    official = OfficialFolder(given.folder)
    generator, predictor = find_models(official, GENERATOR, given)
    features = {name: official.file(features_file(name)) for name in given.dataset}
    database = None if given.skip_novelty else official.parent(*nasbench201_database("generator"))
    official.check()

    model = official_model(generator, predictor, device=given.device)
    known = None
    if database is not None:
        records = import_official(database, given.out / "imported" / "database", which="generator")
        trained_on = set(records.records["arch"][~records.split_own()])
        known = {model.space.parse(text) for text in trained_on}
    for name in given.dataset:
        images = official_features(features[name], given.out / "imported")
        common = {"known": known, "random_state": given.seed}
        made = {
            "free, independent draws": drawn_quality(model, images, given.cells, constrained=False, **common),
            "constrained, independent draws": drawn_quality(model, images, given.cells, constrained=True, **common),
            "handed out by a search": handed_out_quality(model, images, given.cells, **common),
        }
        content = {
            "dataset": name,
            "seed": given.seed,
            "made": {row: vars(quality) | quality.shares() for row, quality in made.items()},
            "published": PUBLISHED,
        }
        write(given.out, name, content, _table(name, made))


def _table(name: str, made: dict[str, Quality]) -> str:
    rows = [[row, str(one.sampled), *map(cell, one.shares().values())] for row, one in made.items()]
    published = [[f"{row} (published)", "1000", *map(cell, shares)] for row, shares in PUBLISHED.items()]
    return markdown([name, "graphs", "validity", "uniqueness", "novelty"], [*rows, *published])


if __name__ == "__main__":
    run(main)
