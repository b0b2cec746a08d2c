"""Meta-train the generator and the predictor as the authors did, from their databases.

Imports the databases and ImageNet32's features, trains both models with experiment=paper/SPACE (NAS-Bench-201: 400
epochs each), and joins the weights into OUT/SPACE.safetensors, which `metad2a search --checkpoint` and `evaluate`
take. An interrupted training goes on with the same command; a finished one is not done again. Overrides of `metad2a
train` may follow, for a trial: `debug=limit`.

Needs torchvision and ResNet-18's weights (45 MB), which say that the features are of this embedder.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from _script import parser, run

from metad2a.cli.main import app
from metad2a.data.embedders.base import get_embedder
from metad2a.evaluation.paper.files import IMAGENET32, OfficialFolder, nasbench201_database
from metad2a.models.checkpoint import Checkpoint
from metad2a.tracking.read import RUN_FILE, read_run

KINDS = ("generator", "predictor")
COLLECTED = ("collected_database.pt", "collected_database_train.pt")


@dataclass(frozen=True)
class Databases:
    """The authors' two databases of a space.

    Attributes:
        folder: finds that of a kind in their folder, or notes what is missing.
        importer: what `metad2a import` is told for a kind: its name, and options.
    """

    folder: Callable[[OfficialFolder, str], Path]
    importer: Callable[[str], tuple[str, ...]]


def main() -> None:
    options = parser(__doc__, "meta_training")
    options.add_argument("--space", choices=tuple(SPACES), default="nasbench201")
    options.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="for both trainings")
    given = options.parse_intermixed_args()

    official = OfficialFolder(given.folder)
    features = official.file(IMAGENET32)
    databases = SPACES[given.space]
    sources = {kind: databases.folder(official, kind) for kind in KINDS}
    official.check()
    get_embedder("resnet18")  # fails before hours of work

    out = given.out / given.space
    imported = out / "imported"
    images = imported / "imgnet32.safetensors"
    if not images.is_file():  # gigabytes
        _metad2a("import", "features", features, images)
    for kind, folder in sources.items():
        name, *told = databases.importer(kind)
        _metad2a("import", name, folder, imported / kind, *told)
    for kind in KINDS:
        _train(kind, out, f"experiment=paper/{given.space}", f"images=[{images}]", *given.overrides)
    best = [Checkpoint.load(out / "train" / kind / "checkpoints" / "best.safetensors") for kind in KINDS]
    Checkpoint.merge(*best).save(given.out / f"{given.space}.safetensors")
    print(f"wrote {given.out / given.space}.safetensors")


def _mobilenetv3_database(official: OfficialFolder, kind: str) -> Path:
    """Return the folder of a database. Its two have the same file names, so only their places count."""
    place = Path("data") / kind / "processed"
    if not any((official.folder / place / name).is_file() for name in COLLECTED):
        official.miss(str(place / COLLECTED[0]), f"the meta-training database of the {kind} (or its three parts)")
    return official.folder / place


SPACES = {
    "nasbench201": Databases(
        lambda official, kind: official.parent(*nasbench201_database(kind)),
        lambda kind: ("metad2a-database", "--which", kind),
    ),
    # The authors' training takes MobileNetV3's class numbers for ImageNet32's labels, see the manifest.
    "mobilenetv3": Databases(_mobilenetv3_database, lambda _: ("metad2a-mobilenetv3", "--classes", "label")),
}


def _train(kind: str, out: Path, *overrides: str) -> None:
    folder = out / "train" / kind
    if (folder / RUN_FILE).is_file():
        if read_run(folder)["status"] != "done":
            _metad2a("resume", folder)
        return
    database = out / "imported" / kind
    os.environ["METAD2A_RUN_ID"] = kind  # the run's folder is called so
    try:
        _metad2a("train", kind, *overrides, f"database={database}", "embedder=resnet18", f"runs={out}")
    finally:
        del os.environ["METAD2A_RUN_ID"]


def _metad2a(*arguments: object) -> None:
    texts = [str(argument) for argument in arguments]
    print("$ metad2a", *texts, flush=True)
    app(texts, standalone_mode=False)


if __name__ == "__main__":
    run(main)
