"""Trackers by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from metad2a.errors import ConfigError, unknown_name
from metad2a.tracking.base import Tracker, Trackers
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.safe import Safe
from metad2a.tracking.tensorboard import TensorBoardTracker
from metad2a.tracking.wandb import WandbTracker

EXTERNAL: dict[str, Callable[..., Tracker]] = {"wandb": WandbTracker, "tensorboard": TensorBoardTracker}
NAMES = ("local", *EXTERNAL)


def make_trackers(names: Sequence[str] = (), **options: Mapping[str, Any]) -> Trackers:
    """Return the local files, always first, and the named trackers, which can never stop the run.

    Args:
        names: of ``NAMES``; ``local`` need not be said.
        options: arguments of a tracker by its name, ``wandb={"project": "mine"}``; those of trackers that are
            not named are not used.

    Raises:
        UnknownNameError: there is no such tracker.
        ConfigError: a tracker does not take an option, or its package is not installed.
    """
    for name in (*names, *options):
        if name not in NAMES:
            raise unknown_name("tracker", name, NAMES)
    external = [name for name in dict.fromkeys(names) if name != "local"]
    return Trackers([LocalTracker(), *(Safe(_make(name, options.get(name, {}))) for name in external)])


def _make(name: str, options: Mapping[str, Any]) -> Tracker:
    try:
        return EXTERNAL[name](**options)
    except TypeError as error:
        raise ConfigError(f"tracker '{name}' cannot be made from its options: {error}.") from error
