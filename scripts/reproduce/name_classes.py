"""Give the classes that a checkpoint notes words for ImageNet's WordNet ids.

    name_classes.py CHECKPOINT OUT --wnids FILE

FILE has ImageNet's 1,000 ids, as ``metad2a data prepare imagenet --wnids`` reads them. Other names stay.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from metad2a.data.imagenet.names import ImageNetNames
from metad2a.errors import UserError
from metad2a.models.checkpoint import Checkpoint
from metad2a.models.reference import Reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    parser.add_argument("--wnids", type=Path, required=True, help="ImageNet's 1,000 ids")
    arguments = parser.parse_args()
    try:
        checkpoint = Checkpoint.load(arguments.checkpoint)
        if checkpoint.reference is None:
            sys.exit(f"error: {arguments.checkpoint} notes no classes.")
        reference = named(checkpoint.reference, ImageNetNames.read(arguments.wnids).wnids or ())
        replace(checkpoint, reference=reference).save(arguments.out)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {arguments.out}")


def named(reference: Reference, wnids: Sequence[str]) -> Reference:
    """Return ``reference`` with words for ImageNet's WordNet ids."""
    from torchvision.models import EfficientNet_B0_Weights

    words = EfficientNet_B0_Weights.IMAGENET1K_V1.meta["categories"]  # in the order of the 1,000 ids
    word_of = dict(zip(sorted(wnids), words, strict=True))
    return replace(
        reference, classes=tuple(word_of.get(name.rpartition("/")[2], name) for name in reference.classes)
    )


if __name__ == "__main__":
    main()
