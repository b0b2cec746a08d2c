"""The features of the images behind a database's tasks."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.embedders.base import Embedder
from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
from metad2a.database.published import MetaDatabase
from metad2a.errors import DatabaseError, unknown_name
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
        images: image sets, or files of features: ``SOURCE=PLACE`` for one of the database's sources, ``PLACE`` for
            all that are neither named so nor embedded in the package. Several of a source add up, whatever number
            of images a class has in each.
        max_images_per_class: embedded of each image set; of features in a file all are used.
        cache: where features of images seen before are kept.

    Raises:
        DatabaseError: a source has no images, they lack classes of the tasks, it is not clear whose they are, or
            features in a file are of another embedder.
        UnknownNameError: images are given for a source that the database does not have.
    """
    parts: dict[str, list[FeatureSet]] = {}
    classes_of = _classes_by_source(database)
    places = _places(classes_of, images)
    for source, needed in classes_of.items():
        parts[source] = []
        held: set[str] = set()
        for spec in places[source]:
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


def _places(classes_of: Mapping[str, Sequence[str]], images: Sequence[str]) -> dict[str, list[str]]:
    """Return where the images of each source are."""
    named: dict[str, list[str]] = {source: [] for source in classes_of}
    unnamed = []
    for entry in images:
        # The longest name that fits: names and places may hold any character.
        source = max((name for name in classes_of if entry.startswith(f"{name}=")), key=len, default=None)
        if source is None:
            _check_no_name(entry, classes_of)
            unnamed.append(entry)
        else:
            named[source].append(entry.removeprefix(f"{source}="))
    others = [name for name, places in named.items() if not places and not name.startswith("embedded:")]
    if others and not unnamed:
        raise DatabaseError(
            f"the database's tasks use images of source '{others[0]}', which is not embedded in the package. Say "
            f"where they are: images=[{others[0]}=FOLDER_OR_NPZ_OR_FEATURE_FILE, ...]."
        )
    if unnamed and not others:
        raise DatabaseError(
            f"the images {unnamed[0]} are for none of the database's sources: {', '.join(sorted(classes_of))}. "
            "Leave them out, or say whose they are: images=[SOURCE=PLACE, ...]."
        )
    _check_no_doubt({name: classes_of[name] for name in others})
    return {name: places or (unnamed if name in others else [name]) for name, places in named.items()}


def _check_no_name(entry: str, sources: Mapping[str, Sequence[str]]) -> None:
    """Refuse what looks like the name of a source that there is not."""
    name, separator, _ = entry.partition("=")
    if separator and not set("/\\:?") & set(name) and not Path(entry).exists():
        raise unknown_name("image source of the database", name, sources)


def _check_no_doubt(classes_of: Mapping[str, Sequence[str]]) -> None:
    """Refuse images without a source where several sources have a class of the same name."""
    owner: dict[str, str] = {}
    for source, classes in classes_of.items():
        for name in classes:
            if owner.setdefault(name, source) != source:
                raise DatabaseError(
                    f"the sources '{owner[name]}' and '{source}' both have a class '{name}', so it is not clear "
                    f"whose the images are. Say so: images=[{owner[name]}=PLACE, {source}=PLACE, ...]."
                )


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
