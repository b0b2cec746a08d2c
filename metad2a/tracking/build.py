"""Trackers by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from metad2a import plugins
from metad2a.errors import ConfigError, unknown_name
from metad2a.tracking.base import Tracker, Trackers
from metad2a.tracking.local import LocalTracker
from metad2a.tracking.safe import Safe


def make_trackers(names: Sequence[str] = (), **options: Mapping[str, Any]) -> Trackers:
    """Return the local files, always first, and the named trackers, which can never stop the run.

    Args:
        names: built in (``wandb``, ``tensorboard``) or from an installed package; ``local`` need not be said.
        options: arguments of a tracker by its name, ``wandb={"project": "mine"}``; those of trackers that are
            not named are not used.

    Raises:
        UnknownNameError: there is no such tracker.
        ConfigError: a tracker does not take an option, or its package is not installed.
    """
    known = ("local", *plugins.names("trackers"))
    for name in (*names, *options):
        if name not in known:
            raise unknown_name("tracker", name, known)
    external = [name for name in dict.fromkeys(names) if name != "local"]
    return Trackers([LocalTracker(), *(Safe(_make(name, options.get(name, {}))) for name in external)])


def _make(name: str, options: Mapping[str, Any]) -> Tracker:
    try:
        tracker: Tracker = plugins.load("trackers", name)(**options)
        return tracker
    except TypeError as error:
        raise ConfigError(f"tracker '{name}' cannot be made from its options: {error}.") from error
