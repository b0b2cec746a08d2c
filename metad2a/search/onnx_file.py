"""Networks in the exchange format ONNX."""

import warnings
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

from metad2a.errors import ConfigError


def has_onnx() -> bool:
    """Return whether the packages of the extra ``onnx`` are installed."""
    return find_spec("onnx") is not None


def check_onnx() -> None:
    """Fail now rather than after the work.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    if not has_onnx():
        raise ConfigError(
            "an ONNX file needs the package onnx, which is not installed. Run pip install 'metad2a[onnx]', "
            "or export without it (--no-onnx, in Python onnx=False)."
        )


def write_onnx(path: Path, network: nn.Module, resolution: int) -> None:
    """Write ``network`` for use: input ``images`` (batch, 3, resolution, resolution), output ``logits``.

    Any number of images may be given at once.

    Raises:
        ConfigError: the package onnx is not installed.
    """
    check_onnx()
    training = network.training
    images = torch.zeros(2, 3, resolution, resolution, device=next(network.parameters()).device)
    with warnings.catch_warnings():
        # torch calls this exporter the old one. The new one needs more packages, and over a minute on one core
        # for a cell network, where this one needs a second; these networks have nothing that only it can write.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            network.eval(),
            (images,),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_axes={"images": {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
        )
    network.train(training)
