"""The Python of the page about searchers runs, and what the page says of it is true."""

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

from metad2a import plugins
from metad2a.search.model_based import ModelBased
from metad2a.spaces.base import SearchSpace
from metad2a.testing.searchers import MakeSearcher, SearcherContract

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "use-a-searcher.md").read_text("utf-8")


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE):
        exec(compile(block, "use-a-searcher.md", "exec"), found)  # noqa: S102 - our own page
    return found


def test_a_ranking_is_gone_on_from(names: dict[str, Any]) -> None:
    first = names["ranking"][:5]
    assert names["searcher"].ask(5) == list(dict.fromkeys(first))[:5]


def options_of(name: str) -> dict[str, inspect.Parameter]:
    """The parameters of a searcher's class; those with a model name only their own and hand the others on."""
    known = dict(inspect.signature(plugins.load("searchers", name)).parameters)
    handed_on = known.pop("options", None)
    return {**(inspect.signature(ModelBased).parameters if handed_on else {}), **known}


def test_the_table_tells_all_searchers_and_options() -> None:
    """Those that all have are told below the table; the two with a model share theirs."""
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert set(rows) == set(plugins.names("searchers"))
    for name, row in rows.items():
        for option, known in options_of(name).items():
            shared = name == "bayesian" and f"`{option}=" in rows["bananas"]
            assert option in ("space", "seed", "first") or shared or f"`{option}=" in row
            if f"`{option}=" in row:
                default = f'"{known.default}"' if isinstance(known.default, str) else str(known.default)
                assert f"`{option}={default}" in row


class TestHillClimber(SearcherContract):
    @pytest.fixture
    def space(self, names: dict[str, Any]) -> SearchSpace:
        return names["space"]

    @pytest.fixture
    def make(self, space: SearchSpace, names: dict[str, Any]) -> MakeSearcher:
        return lambda seed: names["HillClimber"](space, seed=seed)
