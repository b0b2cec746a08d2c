"""How files name ImageNet's classes: by numbers, in two different orders."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from metad2a.errors import DataError

WNIDS_FILE = "imagenet32_label_to_wnid.json"
NUM_CLASSES = 1000


@dataclass(frozen=True)
class ImageNetNames:
    """Names for the numbers: WordNet ids where they are known.

    Attributes:
        wnids: the WordNet id of each ImageNet32 label, from label 1 on; None when nobody knows.
    """

    wnids: tuple[str, ...] | None

    @classmethod
    def read(cls, path: str | Path) -> "ImageNetNames":
        """Read a JSON object from label, "1" to "1000", to WordNet id.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"the class names {path} cannot be read: {error}.") from error
        labels = [str(label) for label in range(1, NUM_CLASSES + 1)]
        wnids = [str(content.get(label)) for label in labels] if isinstance(content, dict) else []
        if len(set(wnids)) != NUM_CLASSES:
            raise DataError(
                f"{path} does not name ImageNet32's classes: needed is a JSON object from '1' ... '{NUM_CLASSES}' "
                "to WordNet ids, each once."
            )
        return cls(tuple(wnids))

    @classmethod
    def beside(cls, folder: Path) -> "ImageNetNames":
        """Read ``imagenet32_label_to_wnid.json`` if ``folder`` has it."""
        path = folder / WNIDS_FILE
        return cls.read(path) if path.is_file() else cls(None)

    def of_label(self, label: int) -> str:
        """Return the name of an ImageNet32 label, which counts from 1: its WordNet id, else ``label 17``.

        Raises:
            DataError: there is no such label.
        """
        _check(label, 1)
        return f"label {label}" if self.wnids is None else self.wnids[label - 1]

    def of_folder(self, number: int) -> str:
        """Return the name of a class in the order of sorted WordNet ids, from 0: its id, else ``folder 16``.

        It is the order in which image folders are read, and another one than that of ImageNet32's labels.

        Raises:
            DataError: there is no such class.
        """
        _check(number, 0)
        return self._folders[number] if self._folders else f"folder {number}"

    @cached_property
    def _folders(self) -> list[str]:
        return sorted(self.wnids or ())


def _check(number: int, first: int) -> None:
    if not first <= number < first + NUM_CLASSES:
        raise DataError(f"class {number} is none of ImageNet's: they are {first} to {first + NUM_CLASSES - 1}.")
