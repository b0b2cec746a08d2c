"""A database to compose experiments against; its accuracies are drawn, not trained."""

from pathlib import Path

import pytest

from metad2a.database.planning import plan, sample_tasks
from metad2a.database.published import publish, record_row
from metad2a.database.records import GLYPHS, Record
from metad2a.fitting.recipe import Recipe
from metad2a.runtime import numpy_rng
from metad2a.spaces.nasbench201 import NASBench201


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database of four glyph tasks with six cells each."""
    recipe = Recipe(name="none", epochs=1, batch_size=2, learning_rate=0.1)
    tasks = sample_tasks(GLYPHS, 4, classes_per_task=3, images_per_class=8, seed=0)
    jobs = plan(NASBench201(), tasks, archs_per_task=6, recipe=recipe)
    drawn = numpy_rng("accuracy of the configuration tests").uniform(40, 90, len(jobs))
    folder = tmp_path_factory.mktemp("database")
    publish(
        folder,
        name="drawn",
        space="nasbench201",
        tasks=tasks,
        rows=[
            record_row(Record.of(job, status="ok", accuracy=float(value)))
            for job, value in zip(jobs, drawn, strict=True)
        ],
        recipes={recipe.fingerprint: recipe.to_dict()},
        sources={GLYPHS: "ours"},
        command="none",
    )
    return folder
