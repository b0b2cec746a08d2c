"""What is left out at random while a network learns: residual blocks, and features before the classifier."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from metad2a.errors import ConfigError


@contextmanager
def dropping(net: nn.Module, *, path: float, features: float) -> Iterator[None]:
    """Let ``net`` leave out parts of itself at random, in training mode, as long as this lasts.

    A residual block is a module with a ``body`` and a ``shortcut``; what is False, a block without one, cannot be
    left out. The classifier is the module of that name. Draws come from torch's global stream of the CPU.

    Args:
        net: of any space.
        path: chance that an image passes by the body of the last block; that of the block before is less by one
            part in as many as there are blocks, and so on (Huang et al., ECCV 2016).
        features: chance of each input of the classifier to be zero.

    Raises:
        ConfigError: ``net`` has nothing that could be left out.
    """
    with ExitStack() as hooks:
        for body, chance in _bodies(net, path) if path else ():
            hooks.callback(body.register_forward_hook(partial(_past, chance)).remove)
        if features:
            hooks.callback(_classifier(net).register_forward_pre_hook(partial(_fewer, features)).remove)
        yield


def _bodies(net: nn.Module, path: float) -> list[tuple[nn.Module, float]]:
    """Return the bodies that can be left out, and the chance of each."""
    blocks: list[Any] = [
        module for module in net.modules() if hasattr(module, "body") and hasattr(module, "shortcut")
    ]
    found = [
        (block.body, path * number / len(blocks))
        for number, block in enumerate(blocks, start=1)
        if block.shortcut is not False
    ]
    if not found:
        raise ConfigError(
            f"drop_path={path}: this network has no residual blocks. Train it without (recipe.drop_path=null)."
        )
    return found


def _classifier(net: nn.Module) -> nn.Module:
    classifier = getattr(net, "classifier", None)
    if not isinstance(classifier, nn.Module):
        raise ConfigError(
            "dropout is of the inputs of the classifier, and this network has none of that name. "
            "Train it without (recipe.dropout=null)."
        )
    return classifier


def _past(chance: float, body: nn.Module, _: Any, out: Float[Tensor, "B *rest"]) -> Float[Tensor, "B *rest"]:
    """Return what ``body`` gave for some images, scaled so that the mean stays, and zeros for the others."""
    if not body.training:
        return out
    stays = torch.rand(len(out), *(1 for _ in out.shape[1:])) >= chance
    return out * (stays / (1 - chance)).to(out)


def _fewer(chance: float, classifier: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (F.dropout(given[0], chance, classifier.training),)
