from collections.abc import Callable
from typing import Any

import pytest


class _Call:
    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.fixture
def calls() -> Callable[..., Any]:
    """Return what makes, of a function and arguments, a value that calls the function when it is unpickled."""
    return _Call
