"""Any model of timm (PyTorch Image Models) as an embedder."""

import hashlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from metad2a.data.embedders.base import Embedder
from metad2a.data.embedders.reference import whole
from metad2a.data.embedders.weights import (
    WEIGHTS_VARIABLE,
    digest_of,
    find_weights,
    load_state,
    no_weights,
    read_weights,
)
from metad2a.data.hub import asked_once
from metad2a.errors import ConfigError, UnknownNameError, did_you_mean

NAME = "timm"
BATCH = 16


class Timm(Embedder):
    """The pooled features of a timm model (Wightman, PyTorch Image Models), before its classifier.

    Colours are standardised and images are sized as the model's own data configuration says; its crop is not taken,
    since images are central squares already.

    Args:
        model: a name of ``timm.list_models()``, with a tag (``resnet18.a1_in1k``) or with its default one.
        resolution: pixels a side; those of the model's configuration when not given.
        weights: a ``.safetensors`` file or one of ``torch.save``, in the layout of timm, with or without the
            classifier; see ``find_weights``. Without it they are downloaded from timm's hub, or found in its cache.

    Raises:
        ConfigError: timm is not installed, the weights are not to be had or do not fit, or the model does not
            take RGB images of this resolution.
        UnknownNameError: timm has no such model.
    """

    def __init__(self, model: str, resolution: int | None = None, weights: str | Path | None = None) -> None:
        timm = _timm()
        _check_known(timm, model)
        file = None if weights is None else Path(weights)
        self.name = whole(NAME, model, resolution=resolution, weights=file)
        if file is None:
            net = _published(timm, model)
        else:
            net = _network(lambda: timm.create_model(model, num_classes=0))
            _fill(net, find_weights(file, of=self.name), model)
        weights_digest = digest_of(net.state_dict())  # before positions are resampled
        config = timm.data.resolve_model_data_config(net)
        self.resolution = max(config["input_size"][1:]) if resolution is None else resolution
        self._mean, self._std = (255 * torch.tensor(config[key]) for key in ("mean", "std"))
        self._net: Any = net.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        self._resize(config["input_size"][1:])
        self.dim = self._probe()
        colours = f"(x-{config['mean']})/{config['std']}, v1"
        preprocessing = hashlib.blake2b(colours.encode(), digest_size=4).hexdigest()
        architecture = model.partition(".")[0]  # the tag only says which weights
        self.fingerprint = f"{NAME}-{architecture}-{self.resolution}-{weights_digest}-{preprocessing}"

    def embed(self, images: UInt8[np.ndarray, "I S S 3"]) -> Float[Tensor, "I F"]:
        """Return the float32 features of RGB ``images`` of ``resolution`` pixels a side, on the CPU."""
        features = torch.empty(len(images), self.dim)  # outside inference mode, so that others may train on it
        with torch.inference_mode():
            for start in range(0, len(images), BATCH):
                batch = torch.from_numpy(images[start : start + BATCH])
                # Colours last in memory, first in shape: the layout that convolutions on CPUs like best.
                features[start : start + BATCH] = self._net(((batch - self._mean) / self._std).permute(0, 3, 1, 2))
        return features

    def _resize(self, built_for: tuple[int, int]) -> None:
        """Let a network with one vector a place in the image take images of another size."""
        fixed = getattr(self._net, "pretrained_cfg", {}).get("fixed_input_size", False)
        if not fixed or tuple(built_for) == (self.resolution, self.resolution):
            return
        try:
            self._net.set_input_size(img_size=(self.resolution, self.resolution))
        except Exception as error:  # models without the method, and those whose parts do not fit that size
            raise self._refused(error) from error

    def _probe(self) -> int:
        """Return how many numbers a feature vector has, once the network has really made one."""
        try:
            with torch.inference_mode():
                features = self._net(torch.zeros(1, 3, self.resolution, self.resolution))
        except Exception as error:  # whatever a network raises for images too small, or of other colours
            raise self._refused(error) from error
        if not isinstance(features, Tensor) or features.ndim != 2 or not features.shape[1]:
            raise ConfigError(
                f"embedder '{self.name}': this model makes no vector of an image. Choose another one."
            )
        return features.shape[1]

    def _refused(self, error: Exception) -> ConfigError:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        return ConfigError(
            f"embedder '{self.name}': this model does not take RGB images of {self.resolution} pixels ({reason}). "
            "Give another ?resolution=, or leave it out."
        )


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except (ImportError, RuntimeError, OSError) as error:  # a torchvision for another torch fails in any of these
        raise ConfigError(
            f"the embedder '{NAME}' needs timm, which cannot be imported ({error}). "
            "Install it: pip install 'metad2a[timm]'."
        ) from error
    return timm


def _check_known(timm: Any, model: str) -> None:
    """Refuse what is no model; there are too many of them for a list."""
    name, _, tag = model.partition(".")
    if not timm.is_model(name):
        problem, given, options, listed = f"timm has no model '{name}'", name, timm.list_models(), "models()"
    else:
        options = [known.partition(".")[2] for known in timm.list_pretrained(f"{name}.*")]
        if not tag or tag in options:
            return
        problem, given, listed = f"timm's {name} has no tag '{tag}'", tag, f'pretrained("{name}.*")'
    raise UnknownNameError(
        f"{problem}.{did_you_mean(given, options)} "
        f"There are {len(options)}: python -c 'import timm; print(timm.list_{listed})'."
    )


def _network(make: Callable[[], Any]) -> Any:
    """Return what ``make`` makes, without a draw from the global random stream."""
    with torch.random.fork_rng(devices=[]):
        return make()


def _published(timm: Any, model: str) -> Any:
    """Return the model with timm's weights, downloaded where its cache has them not."""
    silent = ""
    try:
        with asked_once() as silent:
            return _network(lambda: timm.create_model(model, pretrained=True, num_classes=0))
    except Exception as error:  # of the network, of the hub, of the model
        reason = silent or (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"the weights of '{NAME}:{model}' could not be downloaded ({reason}). Get them elsewhere and say where "
            f"they are: {NAME}:{model}?weights=FILE, a file whose folder {WEIGHTS_VARIABLE} may name."
        ) from error


def _fill(net: Any, path: Path, model: str) -> None:
    """Put the weights of a file into a network without a classifier."""
    of = f"timm's {model}"
    state = read_weights(path, of=of)
    if net.state_dict().keys() - state.keys():
        # Files of a model's authors have names of their own, which its module knows how to translate.
        translate = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
        state = state if translate is None else _translated(translate, state, net, path, of)
    heads = net.pretrained_cfg.get("classifier") or ()
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    load_state(net, state, path, of=of, without={str(head).partition(".")[0] for head in heads})


def _translated(
    translate: Callable[..., Any], state: dict[str, Tensor], net: Any, path: Path, of: str
) -> dict[str, Tensor]:
    try:
        return dict(translate(state, net))
    except Exception as error:  # it expects one of a few layouts
        raise no_weights(path, of, f"{type(error).__name__}: {error}") from error
