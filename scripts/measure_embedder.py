"""Measure speed and ImageNet accuracy of EfficientNet-Lite0 at several resolutions, to choose its default.

python scripts/measure_embedder.py FILE.npz [--threads 2] [--resolutions 64 96 128] [--repeats 3]

FILE has images of all 1,000 ImageNet classes; its class names are wnids.
"""

import argparse
import time

import numpy as np
import torch

from metad2a.data.embedders.efficientnet import EfficientNetLite0
from metad2a.data.image_set import ImageSet

TIMED = 200


def seconds_to_embed(embedder: EfficientNetLite0, images: np.ndarray) -> tuple[float, float]:
    """Return elapsed seconds, and seconds of processor time (which other work on the machine disturbs less)."""
    start, start_busy = time.perf_counter(), time.process_time()
    embedder.embed(images)
    return time.perf_counter() - start, time.process_time() - start_busy


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 80, 96, 112, 128, 144, 160, 192, 224])
    parser.add_argument("--images", type=int, default=1000, help="how many to embed, spread over the classes")
    parser.add_argument("--repeats", type=int, default=3, help="timings, of which the best counts")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    image_set = ImageSet.open(options.file)
    if image_set.num_classes != 1000:
        parser.error(f"{options.file} has {image_set.num_classes} classes, not ImageNet's 1,000")
    indices = np.unique(np.linspace(0, len(image_set) - 1, options.images).astype(int))
    # The network's classes are the wnids in sorted order, whatever their order in the file.
    imagenet_number = np.argsort(np.argsort(image_set.classes))
    truth = torch.from_numpy(imagenet_number[image_set.labels[indices]])

    print(f"{len(indices)} images, {options.threads} threads\n")
    print(f"| resolution | seconds for {TIMED} images | processor seconds | top-1 | top-5 |")
    print("|---:|---:|---:|---:|---:|")
    for resolution in options.resolutions:
        embedder = EfficientNetLite0(resolution)
        images = image_set.load(indices, resolution)
        timings = [seconds_to_embed(embedder, images[:TIMED]) for _ in range(options.repeats)]
        seconds, busy = np.min(timings, axis=0)
        hits = embedder.classify(embedder.embed(images)).topk(5).indices == truth[:, None]
        top1, top5 = 100 * hits[:, 0].float().mean(), 100 * hits.any(1).float().mean()
        print(f"| {resolution} | {seconds:.2f} | {busy:.2f} | {top1:.1f} % | {top5:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
