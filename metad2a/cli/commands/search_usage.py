"""Options of ``metad2a search`` that would do nothing without another one."""

import sys

from metad2a.cli.commands.search_wanted import Wanted
from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.errors import UsageError

_NOT_TRAINED = "no network would be trained. Give --then-train K, or --queries K without --oracle."
_NOT_WRITTEN = "no network would be written. Give --export FOLDER."


def check_useful(wanted: Wanted, *, measures: bool) -> None:
    """Refuse options that were typed and would do nothing.

    Args:
        wanted: what becomes of the result.
        measures: whether latencies can be measured here; False where a table has them.

    Raises:
        UsageError: what they would need is missing.
    """
    asks, exports = bool(wanted.queries), wanted.export is not None
    needs = {
        "--latency": (measures, "nothing would be measured, --latency-table has the latencies. Leave it out."),
        "--oracle": (asks, "nothing would ask it. Give --queries K: so many evaluations."),
        "--oracle-column": (wanted.oracle is not None, "of which oracle? Give --oracle FILE."),
        "--enough": (asks, "it would end nothing. Give --queries K: so many evaluations at most."),
        **dict.fromkeys(("--recipe", "--train-seeds", "--runs"), (wanted.trains, _NOT_TRAINED)),
        **dict.fromkeys(("--onnx", "--no-onnx"), (exports, _NOT_WRITTEN)),
    }
    typed = _typed()
    for option, (useful, why) in needs.items():
        if option in typed and not useful:
            raise UsageError(f"{option}: {why}")


def check_opened(opened: ImageSet | FeatureSet) -> None:
    """Refuse to choose images where there are none.

    Raises:
        UsageError: images are to be embedded, but there are only features.
    """
    if isinstance(opened, FeatureSet) and "--images-per-class" in _typed():
        raise UsageError(
            f"--images-per-class: '{opened.name}' holds features: its images are embedded already. Leave it out."
        )


def _typed() -> frozenset[str]:
    """Return the options on the command line, whatever their values."""
    return frozenset(word.partition("=")[0] for word in sys.argv[1:] if word.startswith("--"))
