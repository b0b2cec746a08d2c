"""Join checkpoints of a generator and a predictor, or several, into one file: merge_checkpoints.py A B ... OUT."""

import argparse
import sys
from pathlib import Path

from metad2a.errors import UserError
from metad2a.models.checkpoint import Checkpoint


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="+", type=Path, help="the .safetensors files, in any order")
    parser.add_argument("out", type=Path, help="the .safetensors file to write")
    arguments = parser.parse_args()
    try:
        Checkpoint.joined(*arguments.parts).save(arguments.out)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {arguments.out}")


if __name__ == "__main__":
    main()
