"""What the benchmark works on: random features and graphs, and models of given sizes with random weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from metad2a.data.features import FeatureSet, SetBatch
from metad2a.data.image_set import ImageSet
from metad2a.models.checkpoint import Checkpoint, Part
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.runtime import numpy_rng, stream_seed, torch_rng
from metad2a.search.metad2a import MetaD2A
from metad2a.spaces.base import ArchBatch, SearchSpace
from metad2a.spaces.registry import get_space

EMBEDDER = "synthetic"


@dataclass(frozen=True)
class Size:
    """Widths of the models; the defaults are the official ones."""

    feature_dim: int = 512
    generator_hidden: int = 56
    predictor_hidden: int = 512
    latent: int = 56


def edges_of(space: SearchSpace) -> list[list[int]] | None:
    """Return the space's edges as the models take them."""
    return None if space.topology is None else space.topology.nonzero().tolist()


def random_generator(
    space: SearchSpace, size: Size, *, edges: Sequence[Sequence[int]] | None, normalize: bool = False
) -> Generator:
    """Return a generator with random weights; ``edges`` None lets it decide them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("benchmark", "generator"))
        return Generator(
            feature_dim=size.feature_dim,
            num_types=space.num_types,
            num_nodes=space.num_nodes,
            hidden=size.generator_hidden,
            latent=size.latent,
            normalize=normalize,
            topology=edges,
        )


def random_predictor(space: SearchSpace, size: Size, *, normalize: bool = False) -> Predictor:
    """Return a predictor with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream_seed("benchmark", "predictor"))
        return Predictor(
            feature_dim=size.feature_dim,
            num_types=space.num_types,
            num_nodes=space.num_nodes,
            hidden=size.predictor_hidden,
            latent=size.latent,
            normalize=normalize,
        )


def random_metad2a(space_name: str, *, images_per_class: int = 20, size: Size | None = None) -> MetaD2A:
    """Return both models with random weights, ready to search ``random_features``.

    Such a generator hardly repeats itself; a trained one does, and needs more draws for as many architectures.
    """
    space, size = get_space(space_name), size or Size()
    edges = edges_of(space)
    checkpoint = Checkpoint(
        parts={
            "generator": Part.of(random_generator(space, size, edges=edges)),
            "predictor": Part.of(random_predictor(space, size)),
        },
        space=space_name,
        topology=edges,
        embedder={"name": EMBEDDER, "fingerprint": EMBEDDER, "dim": size.feature_dim},
        images_per_class=images_per_class,
        target={"mean": 70.0, "std": 5.0},
    )
    return frozen(MetaD2A(checkpoint, name="random weights", device="cpu"))


def frozen(model: MetaD2A) -> MetaD2A:
    """Say that the weights need no gradients: torch's FLOP counter fails in inference mode where they do."""
    model.generator.requires_grad_(False)
    if model.predictor is not None:
        model.predictor.requires_grad_(False)
    return model


def random_features(num_classes: int, images: int, *, dim: int = 512) -> FeatureSet:
    """Return normally distributed features of ``images`` images of each class."""
    labels = np.repeat(np.arange(num_classes), images)
    values = torch.randn(len(labels), dim, generator=torch_rng("benchmark", "features"))
    names = [f"class {i}" for i in range(num_classes)]
    return FeatureSet(values, labels, names, embedder=EMBEDDER, name="random")


def random_sets(num_tasks: int, num_classes: int, images: int, *, dim: int = 512) -> SetBatch:
    """Return a batch of tasks with normally distributed features."""
    shape = (num_tasks, num_classes, images)
    values = torch.randn(*shape, dim, generator=torch_rng("benchmark", "sets"))
    return SetBatch(values, torch.ones(shape, dtype=torch.bool))


def random_graphs(space: SearchSpace, n: int) -> ArchBatch:
    """Return the graphs of uniformly drawn architectures."""
    return space.encode(space.sample(n, numpy_rng("benchmark", "architectures")))


def random_images(n: int, side: int) -> ImageSet:
    """Return noise of ``side`` pixels a side, in two classes."""
    pixels = numpy_rng("benchmark", "images").integers(0, 256, (n, side, side, 3), dtype=np.uint8)
    return ImageSet.from_arrays(pixels, np.arange(n) % 2, classes=["a", "b"], name="noise")
