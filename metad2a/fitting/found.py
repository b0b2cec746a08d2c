"""Training a found network to its end: parts of a data set in, weights and honest accuracies out."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightning_fabric import Fabric
from safetensors.torch import load_file
from torch import Tensor, nn

from metad2a.errors import CheckpointError
from metad2a.fitting.accuracy import Scores
from metad2a.fitting.fitted import BEST_FILE, LAST_FILE, Card, FittedNetwork, save_network
from metad2a.fitting.loop import Fit, Row
from metad2a.fitting.network import ACCURACY, LabelledImages, as_trained, channel_moments, network_fit, seeded
from metad2a.fitting.parts import LoadedParts
from metad2a.fitting.precision import one_device
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.starting import inherited_network, with_size_of
from metad2a.fitting.supernet_file import TrainedSupernet
from metad2a.runtime import write_json
from metad2a.spaces.base import Architecture, SearchSpace

STATE_FILE, CARD_FILE = "last.pt", "card.json"


@dataclass(frozen=True)
class FoundFit:
    """What came of training a found network.

    Attributes:
        fitted: the network with the weights of its best epoch, which the validation images chose.
        valid: its scores on the validation images; the best of many, so better than they will be on others.
        last: accuracy of the validation images after the last epoch, in percent.
        curve: one row an epoch: ``epoch``, ``step``, ``lr``, ``train/loss``, ``val/accuracy``, ``val/loss``.
        seconds: time spent, over all sessions.
    """

    fitted: FittedNetwork
    valid: Scores
    last: float
    curve: list[Row]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all but the weights as plain data."""
        return {
            "card": self.fitted.card.to_dict(),
            "valid": self.valid.to_dict(),
            "last": self.last,
            "curve": self.curve,
            "seconds": self.seconds,
        }


def scores(fitted: FittedNetwork, images: LabelledImages) -> Scores:
    """Classify labelled images of the network's resolution."""
    predicted = fitted.probabilities(images.images).argmax(1)
    return Scores.of(images.labels.cpu().numpy(), predicted.numpy(), fitted.card.classes)


def fit_found(
    space: SearchSpace,
    arch: Architecture,
    parts: LoadedParts,
    recipe: Recipe,
    *,
    seed: int = 0,
    fabric: Fabric | None = None,
    folder: Path | None = None,
    label: str | None = None,
    on_epoch: Callable[[Row], None] | None = None,
    on_start: Callable[[int], None] | None = None,
    supernet: TrainedSupernet | None = None,
) -> FoundFit:
    """Train ``arch``; the best epoch is that of the highest accuracy in validation.

    The test images are not looked at: ``scores(fit.fitted, parts.test)`` does that, when all is decided.

    Args:
        space: of ``arch``.
        arch: what to build and train.
        parts: ``Parts.load(recipe.resolution)``.
        recipe: how.
        seed: of the first weights, the order of the images and their augmentation.
        fabric: device and precision; the CPU when None.
        folder: for ``best.safetensors``, ``last.safetensors``, ``card.json`` and the state ``last.pt``, from which
            an interrupted training goes on; None keeps nothing.
        label: of the progress bar; None shows none.
        on_epoch: called with each row of the curve.
        on_start: called with the number of steps that are done already: those of the state in ``folder``.
        supernet: whose weights are the first ones, see ``starting.inherited_network``; None starts from nothing.

    Raises:
        ArchitectureError: the space cannot build it so.
        ConfigError: the recipe cannot be used for its network, see ``fit_network``.
        DataError: too few images.
        DivergedError: the loss stopped being a number.
        Interrupted: Ctrl-C; the state is saved.
        CheckpointError: the state in ``folder`` is of another training, or the supernet of other networks.
        OutputError: ``folder`` cannot be written.
    """
    fabric = fabric or one_device()
    if supernet is None:
        with seeded(seed):
            net = space.build(arch, len(parts.classes), **recipe.scale)
    else:
        recipe = with_size_of(supernet, space, recipe)
        net = inherited_network(supernet, space, arch, parts, recipe, seed=seed, device=fabric.device)
    start = "" if supernet is None else supernet.fingerprint
    kept = _Kept(net, _about(space, arch, parts, recipe) | {"seed": seed, "start": start}, folder)
    fit = network_fit(
        net,
        parts.train,
        parts.valid,
        recipe,
        seed=seed,
        fabric=fabric,
        state_file=None if folder is None else folder / STATE_FILE,
        label=label,
        on_epoch=on_epoch,
        on_best=lambda: kept.best(fit),
    )
    if fit.state_file is not None and fit.state_file.is_file():
        fit.restore()
        kept.check(fit)
    if on_start is not None:
        on_start(fit.state.step)
    with as_trained(net, recipe):
        state = fit.run()
    kept.last(fit)
    fitted = kept.fitted(fit)
    return FoundFit(
        fitted=fitted,
        valid=scores(fitted, parts.valid),
        last=float(state.history[-1][ACCURACY]),
        curve=state.history,
        seconds=state.seconds,
    )


def _about(space: SearchSpace, arch: Architecture, parts: LoadedParts, recipe: Recipe) -> dict[str, Any]:
    """Return what a card says of a network before it is trained, but for its first weights."""
    mean, std = (tuple(moment.tolist()) for moment in channel_moments(parts.train.images))
    return {
        "space": space.name,
        "arch": space.format(arch),
        "scale": dict(recipe.scale),
        "classes": parts.classes,
        "resolution": recipe.resolution,
        "mean": mean,
        "std": std,
        "dataset": parts.name,
        "recipe": recipe.to_dict(),
    }


class _Kept:
    """The weights of the best epoch and of the last one, in a folder or in memory."""

    def __init__(self, net: nn.Module, about: dict[str, Any], folder: Path | None) -> None:
        self._net, self._about, self._folder = net, about, folder
        self._state: dict[str, Tensor] = {}

    def best(self, fit: Fit) -> None:
        """Keep the weights as they are now: no epoch was better."""
        if self._folder is None:
            self._state = {name: tensor.detach().clone() for name, tensor in self._net.state_dict().items()}
        else:
            save_network(self._folder / BEST_FILE, self._net, self._card(fit.state.history[-1]))

    def check(self, fit: Fit) -> None:
        """Refuse a state whose best weights are lost."""
        if fit.state.best is not None and self._folder is not None and not (self._folder / BEST_FILE).is_file():
            raise CheckpointError(
                f"cannot resume: {self._folder / BEST_FILE} is missing, and its weights are not in {STATE_FILE}. "
                "Train anew, in another folder."
            )

    def last(self, fit: Fit) -> None:
        """Keep the weights of the last epoch, if there is a place."""
        if self._folder is not None:
            save_network(self._folder / LAST_FILE, self._net, self._card(fit.state.history[-1]))

    def fitted(self, fit: Fit) -> FittedNetwork:
        """Return the network with the weights of the best epoch."""
        weights = self._state if self._folder is None else load_file(self._folder / BEST_FILE)
        self._net.load_state_dict(weights)
        # The first epoch of that accuracy: later ones were no better.
        row = next(row for row in fit.state.history if row[ACCURACY] == fit.state.best)
        card = self._card(row)
        if self._folder is not None:
            write_json(self._folder / CARD_FILE, card.to_dict())
        return FittedNetwork(self._net.eval(), card)

    def _card(self, row: Row) -> Card:
        return Card(**self._about, epoch=int(row["epoch"]), accuracy=float(row[ACCURACY]))
