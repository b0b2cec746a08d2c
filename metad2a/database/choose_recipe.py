"""Labels of one recipe: accuracies of networks that were trained differently say nothing about each other."""

from collections.abc import Mapping

from metad2a.database.published import MetaDatabase
from metad2a.errors import ConfigError, unknown_name


def recipes(database: MetaDatabase) -> dict[str, str]:
    """Return the fingerprints of the recipes of a database's records, with their names."""
    known = database.manifest.get("recipes", {})
    return {
        str(key): str(known.get(key, {}).get("name", key)) for key in sorted(database.records["recipe"].unique())
    }


def of_recipe(database: MetaDatabase, recipe: str | None = None) -> MetaDatabase:
    """Return the labels of one recipe, and the tasks that have any.

    Args:
        database: with labels of one recipe or several.
        recipe: its name, or the beginning of its fingerprint; the only one there is when None.

    Raises:
        UnknownNameError: there is no such recipe.
        ConfigError: there are several, and it is not said which.
    """
    found = recipes(database)
    if recipe is None and len(found) <= 1:
        return database
    fitting = [key for key, name in found.items() if recipe is None or recipe == name or key.startswith(recipe)]
    if recipe is not None and not fitting:
        raise unknown_name(f"recipe of the database '{database.name}'", recipe, {*found.values(), *found})
    if len(fitting) > 1:
        raise ConfigError(
            f"the database '{database.name}' holds labels of {len(fitting)} recipes, whose accuracies cannot be "
            f"compared: {_listed(database, fitting, found)}. Choose one, by its name or the beginning of its "
            "fingerprint: label_recipe=..."
        )
    if len(found) == 1:
        return database
    records = database.records[database.records["recipe"] == fitting[0]]
    tasks = database.tasks[database.tasks["task"].isin(records["task"])].reset_index(drop=True)
    return MetaDatabase(database.manifest, tasks, records, database.folder)


def _listed(database: MetaDatabase, keys: list[str], names: Mapping[str, str]) -> str:
    counts = database.records["recipe"].value_counts()
    return ", ".join(f"{names[key]} ({key}: {counts[key]:,} labels)" for key in keys)
