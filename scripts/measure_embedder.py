"""Measure the speed of embedders and, where they have a classifier, their ImageNet accuracy.

python scripts/measure_embedder.py FILE.npz [REFERENCE ...] [--resolutions 64 96] [--threads 2] [--images 200]

A REFERENCE is what `embedder=` takes, as in `metad2a ls embedders`; efficientnet-lite0 when none is given. The
accuracy is that of EfficientNet-Lite0, on a FILE with images of all 1,000 ImageNet classes, named by their wnids.
With `--random-weights` those of the others are not downloaded: their speed does not depend on them.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.data.embedders.efficientnet import EfficientNetLite0
from metad2a.data.embedders.reference import Reference
from metad2a.data.image_set import ImageSet
from metad2a.errors import UserError

TIMED = 200
COLUMNS = ("embedder", "resolution", "numbers", "images/s", "images/processor s", "top-1", "top-5")


def speeds(embedder: Embedder, images: np.ndarray) -> tuple[float, float]:
    """Return images a second, and a second of processor time (which other work on the machine disturbs less)."""
    start, start_busy = time.perf_counter(), time.process_time()
    embedder.embed(images)
    return len(images) / (time.perf_counter() - start), len(images) / (time.process_time() - start_busy)


def accuracies(embedder: Embedder, images: np.ndarray, truth: torch.Tensor | None) -> list[str]:
    """Return top-1 and top-5 accuracy as texts, empty where there is no classifier or no ImageNet."""
    if truth is None or not isinstance(embedder, EfficientNetLite0):
        return ["", ""]
    hits = embedder.classify(embedder.embed(images)).topk(5).indices == truth[:, None]
    return [f"{100 * share:.1f} %" for share in (hits[:, 0].float().mean(), hits.any(1).float().mean())]


def with_random_weights(reference: Reference, folder: Path) -> Reference:
    """Return the reference of the same network with random weights, in a file below ``folder``."""
    if reference.name == "timm":
        import timm

        state = timm.create_model(reference.model).state_dict()
    elif reference.name == "resnet18":
        from torchvision.models import resnet18

        state = resnet18().state_dict()
    else:
        return reference
    path = folder / f"{reference.model or reference.name}.safetensors"
    save_file({name: value.contiguous() for name, value in state.items()}, path)
    return Reference(reference.name, reference.model, {**reference.options, "weights": str(path)})


def asked(options: argparse.Namespace, folder: Path) -> Iterator[str]:
    """Yield the references to measure."""
    for text in options.embedders:
        reference = Reference.parse(text)
        if options.random_weights:
            reference = with_random_weights(reference, folder)
        for resolution in options.resolutions or [None]:
            given = {} if resolution is None else {"resolution": str(resolution)}
            yield str(Reference(reference.name, reference.model, {**reference.options, **given}))


def true_classes(image_set: ImageSet, indices: np.ndarray) -> torch.Tensor | None:
    """Return ImageNet's class numbers; None for images of something else."""
    if image_set.num_classes != 1000:
        return None
    # ImageNet's classes are the wnids in sorted order, whatever their order in the file.
    number = np.argsort(np.argsort(image_set.classes))
    return torch.from_numpy(number[image_set.labels[indices]])


def measure(options: argparse.Namespace, folder: Path) -> None:
    image_set = ImageSet.open(options.file)
    indices = np.unique(np.linspace(0, len(image_set) - 1, options.images).astype(int))
    truth = true_classes(image_set, indices)
    print(f"{len(indices)} images, {options.threads} threads\n")
    print("| " + " | ".join(COLUMNS) + " |")
    print("|---" + "|---:" * (len(COLUMNS) - 1) + "|")
    for reference in asked(options, folder):
        embedder = get_embedder(reference)
        images = image_set.load(indices, embedder.resolution)
        embedder.embed(images[:2])  # the network is made for the first image
        wall, busy = np.max([speeds(embedder, images[:TIMED]) for _ in range(options.repeats)], axis=0)
        name = Reference.parse(embedder.name)
        cells = [str(Reference(name.name, name.model)), str(embedder.resolution), str(embedder.dim)]
        cells += [f"{wall:.0f}", f"{busy:.0f}", *accuracies(embedder, images, truth)]
        print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="images, in any form that metad2a takes")
    parser.add_argument("embedders", nargs="*", default=["efficientnet-lite0"])
    parser.add_argument("--resolutions", type=int, nargs="+", help="of every embedder; its own when not given")
    parser.add_argument("--random-weights", action="store_true", help="of timm's models and resnet18")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--images", type=int, default=1000, help="how many to embed, spread over the classes")
    parser.add_argument("--repeats", type=int, default=3, help="timings, of which the best counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    try:
        with tempfile.TemporaryDirectory() as folder:
            measure(options, Path(folder))
    except UserError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
