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


def seconds_to_embed(embedder: EfficientNetLite0, images: np.ndarray) -> float:
    start = time.perf_counter()
    embedder.embed(images)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--resolutions", type=int, nargs="+", default=[64, 80, 96, 112, 128, 144, 160, 192, 224]
    )
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
    print(f"| resolution | seconds for {TIMED} images | images/s | top-1 | top-5 |")
    print("|---:|---:|---:|---:|---:|")
    for resolution in options.resolutions:
        embedder = EfficientNetLite0(resolution)
        images = image_set.load(indices, resolution)
        seconds = min(seconds_to_embed(embedder, images[:TIMED]) for _ in range(options.repeats))
        hits = embedder.classify(embedder.embed(images)).topk(5).indices == truth[:, None]
        top1, top5 = 100 * hits[:, 0].float().mean(), 100 * hits.any(1).float().mean()
        rate = min(TIMED, len(images)) / seconds
        print(f"| {resolution} | {seconds:.2f} | {rate:.0f} | {top1:.1f} % | {top5:.1f} % |", flush=True)


if __name__ == "__main__":
    main()
