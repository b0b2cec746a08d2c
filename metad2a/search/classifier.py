"""The whole way as a scikit-learn classifier: search, train, predict."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from metad2a.data.cache import FeatureCache
from metad2a.data.image_set import ImageSet
from metad2a.data.sources import ArrayImages
from metad2a.errors import ConfigError, DataError
from metad2a.fitting.fitted import FittedNetwork
from metad2a.fitting.found import fit_found
from metad2a.fitting.loop import DivergedError
from metad2a.fitting.network import LabelledImages
from metad2a.fitting.parts import VALID_FRACTION, LoadedParts, split_parts
from metad2a.fitting.precision import one_device
from metad2a.fitting.recipe import Recipe
from metad2a.fitting.recipes import get_recipe
from metad2a.runtime import resolve_device
from metad2a.search.export import export_network
from metad2a.search.metad2a import MetaD2A
from metad2a.search.pixel_input import PixelInput
from metad2a.search.result import SearchResult

_LIMITS = ("max_params", "max_flops", "max_latency_ms", "max_memory_mb")


class MetaD2AClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Searches a network for the training images, trains it, and predicts with it.

    ``X`` are pictures, (n, height, width) or (n, height, width, channels), or rows of (n, features) numbers: those
    of ``image_shape``, else square gray pictures. uint8 are pixels, floats within 0..1 are shares of white; of
    other numbers the smallest and the largest of the training become black and white. ``y`` are labels of any type.

    Equal images are embedded once on a machine (see ``FeatureCache``). A fitted classifier can be pickled.

    Args:
        checkpoint: what ``MetaD2A.open`` takes: a shipped name, a file, or a generator's and a predictor's file.
        n_candidates: architectures to generate.
        max_params: largest number of parameters of the network that is trained: of the recipe's ``scale``.
        max_flops: most multiply-adds of one image, in the same way.
        max_latency_ms: longest milliseconds of one image, in the same way.
        max_memory_mb: most megabytes of one forward pass, in the same way.
        images_per_class: images embedded of each class.
        recipe: of the training: a name in conf/recipe, or a ``Recipe``.
        epochs: in place of the recipe's.
        train_top: how many of the first candidates are trained; the best in validation is kept.
        validation_fraction: of the images of every class, held out to choose the best epoch and the best candidate.
            Where no class has two images, the training images do.
        image_shape: (height, width[, channels]) of pictures that come as rows.
        random_state: of the search, the validation images, the first weights and the order of the images.
        device: auto | cpu | cuda | mps.

    Attributes:
        classes_: labels, in the order of ``predict_proba``.
        n_features_in_: numbers of a picture.
        result_: the ranked candidates.
        arch_: text of the architecture that was kept.
        network_: it, trained: (n, 3, s, s) normalised images -> (n, classes) scores.
        fitted_: the same with a card that says what it must be given.
        valid_accuracies_: of each trained candidate, in percent; NaN where the training diverged.

    Raises:
        DataError: ``X`` or ``y`` cannot be used.
        ConfigError: a parameter cannot be used.
        LimitError: no network meets the limits.
    """

    def __init__(
        self,
        checkpoint: str | Path | Sequence[str | Path] = "nasbench201",
        *,
        n_candidates: int = 500,
        max_params: float | int | None = None,
        max_flops: float | int | None = None,
        max_latency_ms: float | int | None = None,
        max_memory_mb: float | int | None = None,
        images_per_class: int = 50,
        recipe: str | Recipe = "short",
        epochs: int | None = None,
        train_top: int = 1,
        validation_fraction: float = VALID_FRACTION,
        image_shape: tuple[int, ...] | None = None,
        random_state: int | np.random.RandomState | None = None,
        device: str = "auto",
    ) -> None:
        self.checkpoint = checkpoint
        self.n_candidates = n_candidates
        self.max_params = max_params
        self.max_flops = max_flops
        self.max_latency_ms = max_latency_ms
        self.max_memory_mb = max_memory_mb
        self.images_per_class = images_per_class
        self.recipe = recipe
        self.epochs = epochs
        self.train_top = train_top
        self.validation_fraction = validation_fraction
        self.image_shape = image_shape
        self.random_state = random_state
        self.device = device

    def fit(self, X: Any, y: Any) -> "MetaD2AClassifier":  # noqa: N803 - scikit-learn's name
        """Search, train and keep the best; see the class for ``X``, ``y`` and the errors."""
        if self.train_top < 1:
            raise ConfigError(f"train_top={self.train_top}: train at least one candidate.")
        if not 0 < self.validation_fraction < 1:
            raise ConfigError(f"validation_fraction={self.validation_fraction}: give a number between 0 and 1.")
        recipe = get_recipe(self.recipe) if isinstance(self.recipe, str) else self.recipe
        recipe = recipe if self.epochs is None else replace(recipe, epochs=self.epochs)
        images = self._training_images(X, y)
        seed = self._seed()
        self.result_ = self._search(images, recipe, seed)
        self.fitted_ = self._train(images, recipe, seed)
        self.network_, self.arch_ = self.fitted_.network, self.fitted_.card.arch
        return self

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the likeliest label of each picture.

        Raises:
            DataError: ``X`` has another shape than in ``fit``, or holds what is no number.
        """
        likeliest = self.predict_proba(X).argmax(1)
        labels: np.ndarray = self.classes_[likeliest]
        return labels

    def predict_proba(self, X: Any) -> Float[np.ndarray, "n classes"]:  # noqa: N803
        """Return the probability of each of ``classes_`` for each picture.

        Raises:
            DataError: see ``predict``.
        """
        check_is_fitted(self)
        rows, shape = _rows(X)
        if shape is not None and shape != self._pixels.shape:
            raise DataError(f"X holds pictures of the shape {shape}, but those of fit had {self._pixels.shape}.")
        pixels = self._pixels.images(_validated(self, rows, reset=False))
        images = ImageSet(ArrayImages(pixels, name="X"), np.zeros(len(pixels), np.int64), ["unknown"], name="X")
        return self.fitted_.predict_proba(images)

    def export(self, folder: str | Path, *, onnx: bool | None = None) -> Path:
        """Write the trained network to a folder that needs metad2a no more; see ``export_network``."""
        check_is_fitted(self)
        return export_network(self.fitted_, folder, onnx=onnx)

    def _training_images(self, X: Any, y: Any) -> ImageSet:  # noqa: N803
        rows, shape = _rows(X)
        rows, labels = _validated(self, rows, y)
        self._pixels = PixelInput.of(rows, self.image_shape if shape is None else shape)
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise DataError(f"y has one class only, '{self.classes_[0]}': there is nothing to tell apart.")
        names = [str(label) for label in self.classes_]
        return ImageSet.from_arrays(self._pixels.images(rows), codes, classes=names, name="X")

    def _seed(self) -> int:
        if isinstance(self.random_state, int | np.integer):
            return int(self.random_state)  # what `metad2a search --seed` would be given
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _search(self, images: ImageSet, recipe: Recipe, seed: int) -> SearchResult:
        references = [self.checkpoint] if isinstance(self.checkpoint, str | Path) else list(self.checkpoint)
        limits = {name: getattr(self, name) for name in _LIMITS if getattr(self, name) is not None}
        return MetaD2A.open(*references, device=self.device).search(
            images,
            n_candidates=self.n_candidates,
            images_per_class=self.images_per_class,
            random_state=seed,
            cache=FeatureCache(),
            resolution=recipe.resolution,
            scale=recipe.scale,
            **limits,
        )

    def _train(self, images: ImageSet, recipe: Recipe, seed: int) -> FittedNetwork:
        parts = _parts(images, self.validation_fraction, recipe.resolution, seed)
        fabric = one_device(resolve_device(self.device))
        self.valid_accuracies_: list[float] = []
        best: FittedNetwork | None = None
        for candidate in self.result_.candidates[: self.train_top]:
            arch = candidate.space.parse(candidate.arch)
            try:
                fitted = fit_found(candidate.space, arch, parts, recipe, seed=seed, fabric=fabric).fitted
            except DivergedError:
                self.valid_accuracies_.append(math.nan)
                continue
            self.valid_accuracies_.append(fitted.card.accuracy)
            if best is None or fitted.card.accuracy > best.card.accuracy:
                best = fitted
        if best is None:
            raise ConfigError(f"every training in recipe '{recipe.name}' diverged. Lower its learning rate.")
        return best


def _rows(X: Any) -> tuple[Any, tuple[int, ...] | None]:  # noqa: N803
    """Return pictures as rows, and their shape; what has rows already as it is, and None."""
    shape = np.shape(X) if isinstance(X, np.ndarray | list | tuple | torch.Tensor) else ()
    if len(shape) < 3:
        return X, None
    pictures = np.asarray(X)
    return pictures.reshape(len(pictures), -1), pictures.shape[1:]


def _validated(classifier: MetaD2AClassifier, *data: Any, **options: Any) -> Any:
    """Let scikit-learn check the data; what it refuses is a DataError."""
    try:
        found = validate_data(classifier, *data, **options)
        if len(data) == 2:
            check_classification_targets(found[1])
    except ValueError as error:
        raise DataError(str(error)) from error
    return found


def _parts(images: ImageSet, fraction: float, resolution: int, seed: int) -> LoadedParts:
    """Return images to learn from and to choose by; there are none to test on."""
    train = valid = images
    if images.counts.max() > 1:
        parts = split_parts(images, test=images, valid_fraction=fraction, seed=seed)
        train, valid = parts.train, parts.valid
    learned, chosen = (LabelledImages.of(part, resolution) for part in (train, valid))
    return LoadedParts(learned, chosen, test=chosen, classes=images.classes, name=images.name)
