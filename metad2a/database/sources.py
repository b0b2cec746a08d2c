"""The images of tasks: sources by the names that tasks carry, found where this machine has them."""

from collections.abc import Mapping

from metad2a.data.image_set import ImageSet


class ImageSources:
    """Image sets by the names of their sources, each opened once, when it is first asked for.

    Args:
        places: what ``ImageSet.open`` takes, for names of sources that are no such text themselves.
    """

    def __init__(self, places: Mapping[str, str] | None = None) -> None:
        self._places = dict(places or {})
        self._opened: dict[str, ImageSet] = {}

    def open(self, source: str) -> ImageSet:
        """Return the images of ``source``.

        Raises:
            DataError: they are not there, or cannot be used.
            UnknownNameError: there are no embedded images of this name.
        """
        if source not in self._opened:
            self._opened[source] = ImageSet.open(self._places.get(source, source))
        return self._opened[source]
