"""What a proxy is: a score of architectures that needs no training."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from metad2a import plugins
from metad2a.spaces.base import Architecture, SearchSpace


class Proxy(ABC):
    """Scores architectures without training; ``metad2a.testing.proxies`` checks the rules."""

    name: str

    @abstractmethod
    def score(self, space: SearchSpace, archs: Sequence[Architecture], num_classes: int) -> Float[np.ndarray, " A"]:
        """Return one score an architecture, higher meaning better; NaN where it is not defined."""


def get_proxy(name: str, **options: Any) -> Proxy:
    """Return the proxy ``name``, built in or from an installed package.

    Args:
        name: of the proxy.
        options: of its class; those that look at networks take ``inputs`` (``metad2a.proxies.network.Inputs``).

    Raises:
        UnknownNameError: there is no such proxy.
    """
    proxy: Proxy = plugins.load("proxies", name)(**options)
    return proxy
