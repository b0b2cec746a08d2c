"""The data set that a text names, whether it holds images or features of images."""

from pathlib import Path

from metad2a.data.feature_file import SUFFIX
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet


def open_data(spec: str) -> ImageSet | FeatureSet:
    """Return what ``spec`` names: features for ``file.safetensors``, else images (see ``ImageSet.open``).

    Raises:
        DataError: there is nothing, or it cannot be used.
        UnknownNameError: there are no embedded images of this name.
    """
    path = Path(spec).expanduser()
    if path.suffix.lower() == SUFFIX and not path.is_dir():
        return FeatureSet.load(path)
    return ImageSet.open(spec)
