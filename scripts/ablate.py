"""What each step to a better model is worth, alone and together: trained on one database, judged by one table.

    METAD2A_IMAGES=FOLDER python scripts/ablate.py OUT.json --oracle TABLE.csv --column NAME --dataset IMAGES
        [--experiment open] [--seeds 5] [--only NAME ...] [--override KEY=VALUE ...] [--runs runs/ablation]

Trains every variant of the predictor (``metad2a train predictor``) with every seed, and makes every variant of the
surrogate, in which there is no chance; its seeds draw images, and tasks where not all are used. Predictors keep the
epoch that ranks meta-validation best. Prints a table in Markdown: mean and standard deviation over the seeds of
Spearman's correlation within tasks of meta-validation, of Kendall's over all architectures of the table and within
its best tenth, and the accuracy of the first pick, the best of the first 5 and of the first 10 of all.

OUT.json is written as rows come; a finished row is not computed again, a killed training goes on where it was.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metad2a.cli.configuration import compose, quote
from metad2a.cli.jobs import train
from metad2a.cli.jobs.material import Material
from metad2a.data.cache import FeatureCache, choose_images, embed
from metad2a.data.features import FeatureSet
from metad2a.data.opening import open_data
from metad2a.errors import ConfigError
from metad2a.evaluation.compare.judge import Judge
from metad2a.evaluation.compare.ranks import rank_quality
from metad2a.models.arch_features import PARTS, ArchFeatures
from metad2a.runtime import numpy_rng, write_text
from metad2a.search.predictor_ranker import PredictorRanker
from metad2a.search.ranker import Ranker
from metad2a.search.surrogate_ranker import SurrogateRanker
from metad2a.training import surrogate as surrogates
from metad2a.training import task_ranks
from metad2a.training.within_tasks import spread_within

IMAGES_PER_CLASS = 50
CURVE = ["model.target=ranks", "model.label=curve"]
TOLD = ["model.arch_features=true", "model.pretrain_epochs=20"]
PREDICTORS: dict[str, list[str]] = {
    "predictor": [],
    "ranks within tasks": ["model.target=ranks"],
    "ranks of curves": CURVE,
    "pairs of records": ["model.loss=pairwise"],
    "graph isomorphism network": ["model.graph_encoder=gin"],
    "pre-trained graph encoder": ["model.pretrain_epochs=20"],
    "features of architectures": ["model.arch_features=true"],
    "all, ranks of curves": [*CURVE, *TOLD],
    "all, pairs by curves": ["model.loss=pairwise", "model.label=curve", *TOLD],
    "all, pairs by curves, graph isomorphism network": [
        *("model.loss=pairwise", "model.label=curve", "model.graph_encoder=gin"),
        *TOLD,
    ],
}
# Arguments of fit_surrogate, and of this script: without (features), share (of tasks), ranks.
SURROGATES: dict[str, dict[str, Any]] = {
    "surrogate": {},
    "one ranking for all data sets": {"rho": 0.0},
    "sources not told apart": {"sigma": 0.0},
    "labels: accuracy": {"label": "accuracy"},
    "labels: accuracy, not its ranks": {"label": "accuracy", "ranks": False},
    "no data-free scores": {"without": "scores"},
    "no pairs of decisions": {"without": "pairs"},
    "isomorphic cells not averaged": {"without": "means"},
    "half of the tasks": {"share": 0.5},
    "a quarter of the tasks": {"share": 0.25},
}
FIGURES = {
    "val_spearman": "Spearman within tasks, meta-validation",
    "kendall_all": "Kendall, all",
    "kendall_top10pct": "Kendall, best 10 %",
    "first": "first pick",
    "best_of_5": "best of 5",
    "best_of_10": "best of 10",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--oracle", required=True, help="table of all architectures")
    parser.add_argument("--column", required=True, help="of the table: accuracy in percent")
    parser.add_argument("--dataset", required=True, help="images that the table is of")
    parser.add_argument("--experiment", default="open", help="what is trained on, see conf/experiment")
    parser.add_argument("--seeds", type=int, default=5)
    names = [*PREDICTORS, *SURROGATES]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--override", nargs="+", default=[], metavar="KEY=VALUE", help="of `metad2a train`")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    ablation = Ablation(options)
    for seed in range(options.seeds):
        for name in options.only:
            ablation.once(name, str(seed))
    for name in [name for name in options.only if name in PREDICTORS and options.seeds > 1]:
        ablation.once(name, "+".join(map(str, range(options.seeds))))
    print(table(ablation.rows))


class Ablation:
    """Rows of one database and one table: ``rows[name][seed]`` is what ``once`` found."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.overrides = [quote(text) for text in options.override]
        self.material = Material.of(self._config("surrogate", []))
        self.judge = Judge.from_file(f"{options.oracle}:{options.column}", self.material.space)
        self.features = self._features_of_dataset()
        trained_on = _digest(self.material.data.accuracy.numpy())
        self.settings = {
            "experiment": options.experiment,
            "overrides": options.override,
            "oracle": self.judge.name,
            "records": len(self.material.data.accuracy),
            "digests": [trained_on, self.judge.fingerprint(), _digest(self.features.features.numpy())],
        }
        self.trained_on = [options.experiment, options.override, trained_on]
        self.rows: dict[str, dict[str, dict[str, Any]]] = {}
        if options.out.is_file():
            known = json.loads(options.out.read_text("utf-8"))
            if known["settings"] != self.settings:
                raise ConfigError(
                    f"{options.out} holds rows of {known['settings']}, but asked for is {self.settings}. Name "
                    "another file."
                )
            self.rows = known["rows"]

    def once(self, name: str, seed: str) -> None:
        """Compute the row of a variant and a seed (or of an ensemble: seeds with + between), unless it is there."""
        variant: Any = PREDICTORS.get(name, SURROGATES.get(name))
        if self.rows.get(name, {}).get(seed, {}).get("variant") == variant:
            return
        print(f"{name}, seed {seed}", flush=True)
        if name in PREDICTORS:
            ranker: Ranker = PredictorRanker.open(
                *(self._train(name, one) for one in seed.split("+")), device="cpu"
            )
        else:
            ranker = self._surrogate(int(seed), **variant)
        self.rows.setdefault(name, {})[seed] = {
            "variant": variant,
            **self._figures(ranker, int(seed.split("+")[0])),
        }
        content = {"settings": self.settings, "rows": self.rows}
        write_text(self.options.out, json.dumps(content, indent=1) + "\n")

    def _config(self, kind: str, more: Sequence[str]) -> Any:
        experiment = f"experiment={self.options.experiment}/{kind}"
        own = [text for text in self.overrides if kind == "predictor" or not text.startswith("model.")]
        return compose("train", [f"model={kind}", experiment, *own, *more])

    def _train(self, name: str, seed: str) -> Path:
        """Return the checkpoint of a predictor, trained now where it is not there yet."""
        identity = json.dumps([PREDICTORS[name], seed, self.trained_on])
        folder = self.options.runs / _digest(np.frombuffer(identity.encode(), np.uint8))
        best, done = folder / "checkpoints" / "best.safetensors", folder / "done"
        if not done.is_file():
            cfg = self._config("predictor", [*PREDICTORS[name], f"seed={seed}"])
            folder.mkdir(parents=True, exist_ok=True)
            resumed = (folder / "checkpoints" / "last.pt").is_file()
            train.run(cfg, folder, run_id=folder.name, resume=resumed)
            done.touch()
        return best

    def _surrogate(
        self, seed: int, *, without: str = "", share: float = 1.0, ranks: bool = True, **arguments: Any
    ) -> SurrogateRanker:
        data, cfg = self.material.data, self._config("surrogate", [])
        model = {name: value for name, value in cfg.model.items() if name != "kind"} | arguments
        tasks = data.task_of[data.train_rows].unique()
        kept = numpy_rng(seed, "ablate", "tasks").permutation(len(tasks))[: max(1, round(share * len(tasks)))]
        rows = data.train_rows[torch.isin(data.task_of[data.train_rows], tasks[torch.from_numpy(kept)])]
        features = self._arch_features[without]
        if not ranks:
            spread = spread_within(data.accuracy[rows].double().numpy(), data.task_of[rows].numpy())
            model["rank"] = lambda accuracy: accuracy / spread
        made = surrogates.fit_surrogate(data, features, rows, images_per_class=cfg.images_per_class, **model)
        checkpoint = surrogates.surrogate_checkpoint(
            made,
            data,
            self.material.embedder,
            images_per_class=cfg.images_per_class,
            scores={},
            provenance={},
            space=self.material.space,
        )
        return SurrogateRanker(checkpoint, name="surrogate", features=features)

    @cached_property
    def _arch_features(self) -> dict[str, ArchFeatures]:
        space = self.material.arch_features.space
        return {part: ArchFeatures(space, without=(part,) if part else ()) for part in ("", *PARTS)}

    def _figures(self, ranker: Ranker, seed: int) -> dict[str, float]:
        scores = ranker.predict(self.features, self.judge.archs, random_state=seed)
        quality = rank_quality(scores, self.judge.truth, seed=seed)
        best = {"first": 1, "best_of_5": 5, "best_of_10": 10}
        return {
            "val_spearman": self._within_tasks(ranker, seed),
            **{name: quality[name] for name in ("kendall_all", "kendall_top10pct")},
            **{name: self.judge.best - quality[f"regret_{first}"] for name, first in best.items()},
        }

    def _within_tasks(self, ranker: Ranker, seed: int) -> float:
        """Return the mean Spearman correlation within the tasks of meta-validation, whatever was learned."""
        data = self.material.data
        return task_ranks.spearman_on_tasks(
            data, self.material.space, data.valid_rows, partial(ranker.predict, random_state=seed)
        )

    def _features_of_dataset(self) -> FeatureSet:
        images = open_data(self.options.dataset)
        if isinstance(images, FeatureSet):
            return images
        chosen = choose_images(images, IMAGES_PER_CLASS, 0)
        return embed(images, self.material.embedder, indices=chosen, cache=FeatureCache())


def _digest(array: np.ndarray) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).data, digest_size=8).hexdigest()


def table(rows: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return the rows in Markdown, means and standard deviations over seeds; ensembles below."""
    lines = [f"| | seeds | {' | '.join(FIGURES.values())} |", f"|---|---:|{'---:|' * len(FIGURES)}"]
    for ensembles in (False, True):
        for name in [name for name in (*PREDICTORS, *SURROGATES) if name in rows]:
            found = {seed: row for seed, row in rows[name].items() if ("+" in seed) == ensembles}
            for group in [[row] for row in found.values()] if ensembles else [list(found.values())] * bool(found):
                count = max(seed.count("+") + 1 for seed in found) if ensembles else len(group)
                label = f"{name}, ensemble" if ensembles else name
                lines.append(f"| {label} | {count} | {' | '.join(_cell(group, key) for key in FIGURES)} |")
    return "\n".join(lines)


def _cell(rows: Sequence[Mapping[str, Any]], key: str) -> str:
    values = np.array([row[key] for row in rows], dtype=np.float64)
    digits = 3 if key.startswith(("val", "kendall")) else 2
    spread = f" ± {values.std(ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{spread}"


if __name__ == "__main__":
    main()
