"""metad2a compare: methods against each other."""

import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from metad2a.cli import compare_output, output
from metad2a.cli.configuration import check_at_least, plain
from metad2a.errors import unknown_name
from metad2a.evaluation.compare.defaults import Defaults
from metad2a.evaluation.compare.judge import Noise
from metad2a.evaluation.compare.opening import MetaValidation, Settings, compare
from metad2a.evaluation.compare.results import Comparison
from metad2a.evaluation.compare.specs import labels_of
from metad2a.runtime import check_writable, write_json, write_text
from metad2a.search.hypervolume import check_pymoo
from metad2a.tracking.base import Tracker
from metad2a.tracking.build import make_trackers
from metad2a.tracking.run import track

_OUTPUTS = ("json", "csv", "svg", "volume_svg", "html")
_NO_RESULT = (
    "task_name",
    "runs",
    "processes",
    "kept",
    "device",
    "drawn",
    *_OUTPUTS,
)  # of keys: they change no number
_SMALLEST = {
    **dict.fromkeys(("seeds", "batch", "candidates", "proxy_candidates", "images_per_class", "processes"), 1),
    "sample": 2,
    "rank_seeds": 0,
    "max_images_per_class": 1,
}


def run(cfg: DictConfig, folder: Path, *, run_id: str, resume: bool = False) -> Comparison:
    """Compare in ``folder``; write and print the result. ``resume`` goes on with what is missing."""
    check_at_least(cfg, _SMALLEST)
    values = plain(cfg)
    for name in _OUTPUTS:
        if values[name]:
            check_writable(values[name])
    if values["volume_svg"]:
        check_pymoo()
    labels = labels_of(values["methods"])
    if values["baseline"] not in labels:
        raise unknown_name("baseline", values["baseline"], labels)
    unknown = next((label for label in values["drawn"] if label not in labels), None)
    if unknown is not None:
        raise unknown_name("method to draw", unknown, labels)
    with track(
        folder, values, run_id=run_id, job="compare", seed=0, trackers=make_trackers(), resumed=resume
    ) as tracker:
        result = compare(
            _settings(values),
            seeds=values["seeds"],
            baseline=values["baseline"],
            processes=values["processes"],
            rank_seeds=values["rank_seeds"],
            meta_validation=_meta_validation(values),
        )
        _record(tracker, folder, result)
    compare_output.show(result)
    _write(values, result)
    return result


def _settings(values: dict[str, Any]) -> Settings:
    lists = {
        name: tuple(values[name]) for name in ("methods", "datasets", "oracles", "budgets", "others", "reference")
    }
    names = ("kept", "batch", "images_per_class", "seconds_column", "sample", "cost")
    others = {name: values[name] for name in names}
    return Settings(
        **(lists | others),
        noise=Noise(tuple(values["noise_columns"]), values["noise_sd"]),
        defaults=Defaults(**{name: values[name] for name in Defaults.__dataclass_fields__}),
    )


def _meta_validation(values: dict[str, Any]) -> MetaValidation | None:
    if not values["meta_validation"]:
        return None
    return MetaValidation(
        values["meta_validation"], values["split"], tuple(values["images"]), values["max_images_per_class"]
    )


def _record(tracker: Tracker, folder: Path, result: Comparison) -> None:
    for budget in result.budgets:
        found = {f"{row.oracle}/{row.method}": row.mean for row in result.rows if row.budget == budget}
        tracker.metrics(found, step=budget)
    write_json(folder / "comparison.json", result.to_dict())
    tracker.artifact(folder / "comparison.json", "report")


def _write(values: dict[str, Any], result: Comparison) -> None:
    """Write the files that were asked for."""
    if values["json"]:
        write_json(values["json"], result.to_dict())
    if values["csv"]:
        write_text(values["csv"], result.to_frame().to_csv(index=False))
    if values["svg"] or values["volume_svg"] or values["html"]:
        from metad2a.reporting import compare_report

        first, drawn = result.oracles[0].name, values["drawn"]
        if values["svg"]:
            write_text(values["svg"], compare_report.picture(result, first, drawn).svg)
        if values["volume_svg"]:
            write_text(values["volume_svg"], compare_report.volume_picture(result, first, drawn).svg)
        if values["html"]:
            compare_report.comparison_report(Path(values["html"]), result, command=_command(values))
    for name in _OUTPUTS:
        if values[name]:
            output.wrote(values[name])


def _command(values: dict[str, Any]) -> str:
    """Return the command that computes the same numbers, whatever the machine."""
    words = [
        f"{key}=[{','.join(map(str, value))}]" if isinstance(value, list) else f"{key}={value}"
        for key, value in values.items()
        if key not in _NO_RESULT and value is not None
    ]
    return shlex.join(["metad2a", "compare", *(word for word in words if not word.endswith(("=", "=[]")))])
