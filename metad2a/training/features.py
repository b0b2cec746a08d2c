"""The features of the images behind a database's tasks."""

from collections.abc import Sequence

from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.base import Embedder
from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
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
    """Return the features of the images of every class that a task of the database uses.

    Args:
        database: its tasks name sources and classes.
        embedder: of the features.
        images: image sets, or files of features, that hold the classes of sources which are not embedded in the
            package; several add up, whatever number of images a class has in each.
        max_images_per_class: embedded of each image set; of features in a file all are used.
        cache: where features of images seen before are kept.

    Raises:
        DatabaseError: a source has no images, they lack classes of the tasks, or features in a file are of
            another embedder.
    """
    parts: dict[str, list[FeatureSet]] = {}
    for source, needed in _classes_by_source(database).items():
        given = [source] if source.startswith("embedded:") else images
        if not given:
            raise DatabaseError(
                f"the database's tasks use images of source '{source}', which is not embedded in the package. "
                "Say where they are: images=[FOLDER_OR_NPZ_OR_FEATURE_FILE, ...]."
            )
        parts[source] = []
        held: set[str] = set()
        for spec in given:
            classes, part = _features(spec, set(needed), embedder, max_images_per_class, cache)
            held.update(classes)
            parts[source] += part
        missing = sorted(set(needed) - held)
        if missing:
            raise DatabaseError(
                f"the images of source '{source}' lack {len(missing)} of {len(needed)} classes, e.g. "
                f"'{missing[0]}'. Add image sets that hold them to images=[...]. Those given hold {len(held)} "
                f"classes, e.g. '{min(held)}'."
            )
    return join_features(parts)


def _features(
    spec: str, wanted: set[str], embedder: Embedder, max_images_per_class: int, cache: FeatureCache | None
) -> tuple[tuple[str, ...], list[FeatureSet]]:
    """Return all class names of a data set, and the features of the wanted classes if it has any."""
    data = open_data(spec)
    kept = [number for number, name in enumerate(data.classes) if name in wanted]
    if not kept:
        return data.classes, []
    if isinstance(data, FeatureSet):
        if data.embedder != embedder.fingerprint:
            raise DatabaseError(
                f"the features in {spec} are of the embedder '{data.embedder}', but embedder={embedder.name} gives "
                f"those of '{embedder.fingerprint}'. Set embedder= to the one that made them."
            )
        return data.classes, [data.keep_classes(kept)]
    part = data.keep_classes(kept)
    chosen = choose_images(part, max_images_per_class, 0)
    return data.classes, [embed(part, embedder, indices=chosen, cache=cache)]


def _classes_by_source(database: MetaDatabase) -> dict[str, list[str]]:
    needed: dict[str, set[str]] = {}
    for source, classes in zip(database.tasks["source"], database.task_classes, strict=True):
        needed.setdefault(source, set()).update(classes)
    return {source: sorted(names) for source, names in needed.items()}
