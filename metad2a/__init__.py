"""metad2a: from a labelled image data set to a ranked list of neural networks, in seconds.

The public names are loaded when first used, so that ``import metad2a`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from metad2a.data.image_set import ImageSet
    from metad2a.search.classifier import MetaD2AClassifier
    from metad2a.search.metad2a import MetaD2A
    from metad2a.spaces.base import Architecture, SearchSpace
    from metad2a.spaces.registry import get_space

_PUBLIC = {
    "Architecture": "metad2a.spaces.base",
    "ImageSet": "metad2a.data.image_set",
    "MetaD2A": "metad2a.search.metad2a",
    "MetaD2AClassifier": "metad2a.search.classifier",
    "SearchSpace": "metad2a.spaces.base",
    "get_space": "metad2a.spaces.registry",
}
__all__ = ["Architecture", "ImageSet", "MetaD2A", "MetaD2AClassifier", "SearchSpace", "__version__", "get_space"]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'metad2a' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
