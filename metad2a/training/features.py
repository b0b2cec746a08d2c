"""The features of the images behind a database's tasks."""

from collections.abc import Sequence

from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.base import Embedder
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError
from metad2a.training.meta_data import join_features


def database_features(
    database: MetaDatabase,
    embedder: Embedder,
    *,
    images: Sequence[str],
    max_images_per_class: int,
    cache: FeatureCache | None = None,
) -> FeatureSet:
    """Embed the images of every class that a task of the database uses.

    Args:
        database: its tasks name sources and classes.
        embedder: of the features.
        images: image sets that hold the classes of sources which are not embedded in the package; several sets
            add up, whatever number of images a class has in each.
        max_images_per_class: of each image set.
        cache: where features of images seen before are kept.

    Raises:
        DatabaseError: a source has no images, or they lack classes of the tasks.
    """
    parts: dict[str, list[FeatureSet]] = {}
    for source, needed in _classes_by_source(database).items():
        parts[source] = [
            embed(part, embedder, indices=choose_images(part, max_images_per_class, 0), cache=cache)
            for part in _image_sets(source, needed, images)
        ]
        found = {name for features in parts[source] for name in features.classes}
        missing = sorted(set(needed) - found)
        if missing:
            raise DatabaseError(
                f"the images of source '{source}' lack {len(missing)} of {len(needed)} classes, e.g. "
                f"'{missing[0]}'. Add image sets that hold them to images=[...]."
            )
    return join_features(parts)


def _image_sets(source: str, needed: Sequence[str], given: Sequence[str]) -> list[ImageSet]:
    if source.startswith("embedded:"):
        given = [source]
    if not given:
        raise DatabaseError(
            f"the database's tasks use images of source '{source}', which is not embedded in the package. "
            "Say where they are: images=[FOLDER_OR_NPZ, ...]."
        )
    wanted = set(needed)
    sets = [ImageSet.open(spec) for spec in given]
    return [
        part.keep_classes([i for i, name in enumerate(part.classes) if name in wanted])
        for part in sets
        if wanted & set(part.classes)
    ]


def _classes_by_source(database: MetaDatabase) -> dict[str, list[str]]:
    needed: dict[str, set[str]] = {}
    for source, classes in zip(database.tasks["source"], database.task_classes, strict=True):
        needed.setdefault(source, set()).update(classes)
    return {source: sorted(names) for source, names in needed.items()}
