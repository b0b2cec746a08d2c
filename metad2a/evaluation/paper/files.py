"""The authors' files (github HayeonLee/MetaD2A): what they are called, where they lie, which are missing."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from metad2a.data.features import FeatureSet
from metad2a.database.importers.official_features import import_features
from metad2a.errors import DataError
from metad2a.models.official import official_checkpoint
from metad2a.search.metad2a import MetaD2A


@dataclass(frozen=True)
class OfficialFile:
    """One file of the authors.

    Attributes:
        place: below the folder in which their code runs.
        holds: what is in it.
    """

    place: str
    holds: str

    @property
    def name(self) -> str:
        """The name alone."""
        return PurePosixPath(self.place).name


GENERATOR = OfficialFile("results/generator/model/ckpt_400.pt", "the meta-trained generator for NAS-Bench-201")
MOBILENETV3_GENERATOR = OfficialFile(
    "results/generator/model/ckpt_120.pt", "the meta-trained generator for MobileNetV3"
)
PREDICTOR = OfficialFile("results/predictor/model/ckpt_max_corr.pt", "the meta-trained predictor of the same space")
TABLE = OfficialFile("data/nasbench201.pt", "the cells of NAS-Bench-201 and their test accuracies")
IMAGENET32 = OfficialFile("data/imgnet32bylabel.pt", "ResNet-18 features of ImageNet32, by class")
TASKS = OfficialFile("data/meta_train_task_lst.pt", "the classes of the meta-training tasks")


def features_file(dataset: str) -> OfficialFile:
    """Return the file with the features of a test set."""
    return OfficialFile(f"data/{dataset}bylabel.pt", f"ResNet-18 features of {dataset}, by class")


def nasbench201_database(which: str) -> tuple[OfficialFile, OfficialFile, OfficialFile]:
    """Return the files of a meta-training database for NAS-Bench-201: ``generator``'s or ``predictor``'s."""
    rows = f"data/meta_train_tasks_{which}"
    return (
        OfficialFile(f"{rows}.pt", f"the meta-training database of the {which}"),
        OfficialFile(f"{rows}_idx.pt", f"which of its records the {which} was trained on"),
        TASKS,
    )


class OfficialFolder:
    """Looks files up and remembers those that are missing, so that ``check`` can name all of them at once.

    Args:
        folder: that in which the authors' code runs, with ``data`` and ``results``, or any with the files in it.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._missing: dict[str, str] = {}

    def file(self, wanted: OfficialFile, *, given: Path | None = None) -> Path:
        """Return where ``wanted`` is: in its place, in the folder itself, or where the user says."""
        places = [given] if given is not None else [self.folder / wanted.place, self.folder / wanted.name]
        found = next((path for path in places if path.is_file()), None)
        if found is None:
            self.miss(str(given or wanted.place), wanted.holds)
        return found or places[0]

    def parent(self, *wanted: OfficialFile) -> Path:
        """Return the folder with all of ``wanted``, for what reads several files together."""
        folders = [self.file(one).parent for one in wanted]
        return folders[0]

    def miss(self, what: str, holds: str) -> None:
        """Remember that something is missing."""
        self._missing[what] = holds

    def check(self) -> None:
        """Do nothing if nothing is missing.

        Raises:
            DataError: it names all that is, under which name it is looked for, and what it holds.
        """
        if not self._missing:
            return
        width = max(map(len, self._missing))
        rows = "\n".join(f"  {what:<{width}}  {holds}" for what, holds in self._missing.items())
        raise DataError(
            f"missing, below {self.folder}:\n{rows}\n"
            "The authors' files also count when they lie in that folder itself; get_files/ of their repository "
            "(github HayeonLee/MetaD2A) downloads them. See scripts/reproduce/README.md."
        )


def official_model(
    generator: Path, predictor: Path, *, accuracies: tuple[float, float] | None = None, device: str = "auto"
) -> MetaD2A:
    """Return the search with the authors' weights; ``accuracies`` as in ``official_checkpoint``.

    Raises:
        CheckpointError: a file holds no such model.
    """
    checkpoint = official_checkpoint(generator, predictor, accuracies=accuracies)
    return MetaD2A(checkpoint, name=f"{generator} + {predictor}", device=device)


def official_features(path: Path, folder: Path) -> FeatureSet:
    """Convert the authors' features of a data set to a file in ``folder``, and open that.

    Raises:
        DatabaseError: the file holds no features.
        OutputError: ``folder`` cannot be written.
    """
    return import_features(path, folder / f"{path.stem.removesuffix('bylabel')}.safetensors")
