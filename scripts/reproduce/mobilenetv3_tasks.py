"""Draw the tasks that the checkpoint `mobilenetv3` is meta-trained, validated and tested on.

IMAGES are those of the supernet; their classes are divided. OUT.json lists tasks for
`label_source.mine.task_list`: of 70 % of the classes for meta-training, of 15 % for meta-validation. The other 15 %
are in no task. Of them are the test data sets, OUT/16px-0.npz and so on where --test is 16=FILE: images of FILE, 16
pixels a side; OUT/16px-all.npz has all those classes, OUT/16px-valid.npz those of meta-validation.
"""

import argparse
from pathlib import Path

import numpy as np
from _script import at_least, run

from metad2a.data.image_set import ImageSet
from metad2a.runtime import atomic_path, numpy_rng, write_json

TRAIN, VALID = 0.7, 0.15  # shares of the classes
LEAST = 10  # classes of a task


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("images", metavar="IMAGES")
    options.add_argument("out", metavar="OUT", type=Path)
    options.add_argument("--train-tasks", type=at_least(1), default=310)
    options.add_argument("--valid-tasks", type=at_least(1), default=40)
    options.add_argument("--test-tasks", type=at_least(1), default=6)
    options.add_argument("--test", nargs="*", default=[], metavar="PIXELS=FILE", help="of the test data sets")
    options.add_argument("--seed", type=int, default=0)
    given = options.parse_args()
    parts = divide(ImageSet.open(given.images).classes, given.seed)
    rng = numpy_rng("mobilenetv3 tasks", given.seed)
    counts = {"train": given.train_tasks, "valid": given.valid_tasks, "test": given.test_tasks}
    drawn = {part: [draw(parts[part], rng) for _ in range(count)] for part, count in counts.items()}
    listed = [{"classes": classes, "split": part} for part in ("train", "valid") for classes in drawn[part]]
    write_json(given.out.with_suffix(".json"), {"tasks": listed})
    for pixels, _, file in (text.partition("=") for text in given.test):
        images = ImageSet.open(file)
        for number, classes in [*enumerate(drawn["test"]), ("all", parts["test"]), ("valid", parts["valid"])]:
            save(images, classes, int(pixels), given.out / f"{pixels}px-{number}.npz")
    print(f"{len(listed)} tasks in {given.out.with_suffix('.json')}; tests of {len(parts['test'])} other classes")


def divide(classes: tuple[str, ...], seed: int) -> dict[str, list[str]]:
    """Return the classes of each part."""
    order = [classes[place] for place in numpy_rng("mobilenetv3 classes", seed).permutation(len(classes))]
    first, second = round(TRAIN * len(order)), round((TRAIN + VALID) * len(order))
    return {"train": order[:first], "valid": order[first:second], "test": order[second:]}


def draw(classes: list[str], rng: np.random.Generator) -> list[str]:
    """Return the classes of a task: of ten to all, every number is as likely."""
    count = int(rng.integers(LEAST, len(classes) + 1))
    return [classes[place] for place in rng.choice(len(classes), count, replace=False)]


def save(images: ImageSet, classes: list[str], pixels: int, path: Path) -> None:
    """Write the images of some classes to a file, so many pixels a side."""
    part = images.keep_classes([images.classes.index(name) for name in classes])
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, x=part.load(np.arange(len(part)), pixels), y=part.labels, classes=np.array(classes))


if __name__ == "__main__":
    run(main)
