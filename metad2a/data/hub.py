"""Hugging Face's hub: whether it answers is found out before its libraries try again and again."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_OFFLINE = "HF_HUB_OFFLINE"  # what the libraries call the option, in the environment and in these modules of theirs
_MODULES = ("huggingface_hub.constants", "datasets.config")


@contextmanager
def asked_once() -> Iterator[str]:
    """Let Hugging Face's libraries use the hub if it answers, else only what they have kept, as where told to.

    Left to themselves they ask six times in half a minute, and say so each time. Yields why they cannot use it; an
    empty text where they can.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        yield f"{_OFFLINE} is set"
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=constants.HF_HUB_ETAG_TIMEOUT)
    except Exception as error:  # of whichever client the library has
        with _offline():
            yield f"{constants.ENDPOINT} does not answer ({str(error) or type(error).__name__})"
    else:
        yield ""


@contextmanager
def _offline() -> Iterator[None]:
    modules = [importlib.import_module(name) for name in _MODULES if name.partition(".")[0] in sys.modules]
    before = [getattr(module, _OFFLINE, False) for module in modules]
    for module in modules:
        setattr(module, _OFFLINE, True)
    try:
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            setattr(module, _OFFLINE, value)
