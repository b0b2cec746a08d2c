"""What a meta-model is made from: database, split, features, space, embedder, and weights to start from."""

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
from omegaconf import DictConfig

from metad2a.data.cache import FeatureCache
from metad2a.data.embedders.base import Embedder, get_embedder
from metad2a.database.choose_recipe import of_recipe, recipes
from metad2a.database.join import join
from metad2a.database.published import MetaDatabase
from metad2a.database.splits import Split, split_database
from metad2a.errors import ConfigError
from metad2a.models.arch_features import ArchFeatures
from metad2a.models.checkpoint import MODELS, Checkpoint, empty_model
from metad2a.models.generator import Generator
from metad2a.models.predictor import Predictor
from metad2a.search.shipped_checkpoints import checkpoint_file
from metad2a.spaces.base import SearchSpace
from metad2a.spaces.product import ProductSpace
from metad2a.spaces.registry import get_space
from metad2a.training.features import database_features
from metad2a.training.fine_tuning import check_init, initial_model
from metad2a.training.meta_data import MetaData, check_space, meta_data
from metad2a.training.objectives import NEW_TASKS
from metad2a.training.teaching import taught

_log = logging.getLogger(__name__)
_FAITHFUL = {
    "target": "accuracy",
    "loss": "squared",
    "label": "accuracy",
    "graph_encoder": "gru",
    "arch_features": False,
    "pretrain_epochs": 0,
}


@dataclass(frozen=True)
class Material:
    """What a model is made from."""

    database: MetaDatabase
    split: Split
    data: MetaData
    space: SearchSpace
    embedder: Embedder
    init: Checkpoint | None
    teacher: Checkpoint | None = None

    @classmethod
    def of(cls, cfg: DictConfig) -> "Material":
        """Load what a configuration names."""
        # Not cfg.label_recipe: run folders from before there was this key are resumed too.
        asked_for = of_recipe(MetaDatabase.load(cfg.database), cfg.get("label_recipe"))
        space, embedder = get_space(cfg.space or asked_for.space), get_embedder(cfg.embedder)
        check_space(asked_for, space)
        init = None
        if cfg.init is not None:
            init = Checkpoint.load(checkpoint_file(cfg.init))
            check_init(
                init,
                cfg.model.kind,
                name=f"init={cfg.init}",
                space=space.name,
                embedder_fingerprint=embedder.fingerprint,
            )
            _conditions(cfg.model, init)
        teacher = None
        # Not cfg.teacher: run folders from before there was this key are resumed too.
        if cfg.get("teacher") is not None:
            teacher = Checkpoint.load(checkpoint_file(cfg.teacher))
            check_init(
                teacher,
                "surrogate",
                name=f"teacher={cfg.teacher}",
                space=space.name,
                embedder_fingerprint=embedder.fingerprint,
            )
        split = split_database(asked_for, cfg.split, fraction=cfg.valid_fraction)
        # Not cfg.more_databases: as above.
        more = [MetaDatabase.load(where) for where in cfg.get("more_databases") or []]
        if more and init is not None:
            raise ConfigError(
                f"init={cfg.init}: fine-tuning is on one database, but there are more_databases. Leave one out."
            )
        database = join(asked_for, more, split.valid)
        valid = np.pad(split.valid, (0, len(database.records) - len(split.valid)))
        features = database_features(
            database,
            embedder,
            images=list(cfg.images),
            max_images_per_class=cfg.max_images_per_class,
            cache=FeatureCache(),
        )
        data = meta_data(database, features, space, valid=valid, with_losses=cfg.model.get("label") == "curve")
        return cls(database, split, data, space, embedder, init, teacher)

    def taught(self, cfg: DictConfig) -> MetaData:
        """Return what a generator learns from: the database, or what a teacher makes of it."""
        if self.teacher is None:
            return self.data
        assert isinstance(self.space, ProductSpace)  # noqa: S101  (surrogates are of no other spaces)
        return taught(
            self.data,
            self.teacher.build("surrogate"),
            self.space,
            share=cfg.teacher_share,
            per_task=cfg.teacher_archs,
            images_per_class=cfg.images_per_class,
            seed=cfg.seed,
        )

    @cached_property
    def arch_features(self) -> ArchFeatures:
        """What is known of architectures beside their graphs.

        Raises:
            ConfigError: the space's decisions are not independent.
        """
        if not isinstance(self.space, ProductSpace):
            raise ConfigError(
                f"space={self.space.name}: features of architectures need a space of independent decisions. Set "
                "model.arch_features=false and model.pretrain_epochs=0."
            )
        return ArchFeatures(self.space)

    def model_config(self, model: DictConfig) -> dict[str, Any]:
        """Return the sizes of the model: those of the checkpoint to start from, else those asked for."""
        return self._asked_for(model) if self.init is None else self.init.parts[model.kind].config

    def model(
        self, cfg: DictConfig, target: tuple[float, float] | None, measured: Mapping[str, Any]
    ) -> Generator | Predictor:
        """Return the model to be trained.

        Args:
            cfg: its configuration.
            target: what the scores of a predictor mean.
            measured: arguments of a new model that the records tell, see ``Objective.measured``.
        """
        if self.init is not None:
            return initial_model(self.init, cfg.model.kind, target)
        model: Any = MODELS[cfg.model.kind](**self.model_config(cfg.model), **measured)
        return model

    def conditions(self, model: DictConfig) -> list[str]:
        """Return what a generator is told of its architectures: what is asked for, or what it was told before."""
        return _conditions(model, self.init)

    def provenance(self, cfg: DictConfig, run_id: str) -> dict[str, Any]:
        """Return what a checkpoint is to remember of where it comes from."""
        named, whole = recipes(self.database), self.database.manifest.get("recipes", {})
        return {
            "database": self.database.name,
            "seed": cfg.seed,
            "run_id": run_id,
            "note": cfg.note,
            "recipe": named,
            "recipes": {key: dict(whole[key]) for key in named if key in whole},
            "split": {"name": self.split.name, **asdict(self.split.overlap)},
        }

    def tell(self, cfg: DictConfig) -> None:
        """Log what a split of the database's own does, and where a checkpoint overrules the configuration."""
        if self.data.recipes:
            of = self.data.recipe_number.bincount().tolist()
            counted = ", ".join(f"{name}: {count:,}" for name, count in zip(self.data.recipes, of, strict=True))
            _log.info("%s: labels by recipe: %s; the first is predicted", self.database.name, counted)
        if self.split.name == "own" or self.split.refused is not None:
            _log.info("%s: %s", self.database.name, self.split)
        if 0 < self.split.overlap.same_tasks < self.split.overlap.tasks:
            _log.info("scores on the others alone are those called %s...", NEW_TASKS)
        if self.init is None:
            return
        asked = self._asked_for(cfg.model)
        given = empty_model(cfg.model.kind, self.model_config(cfg.model)).config
        other = ", ".join(
            f"{name} {_short(given.get(name))} instead of {_short(value)}"
            for name, value in asked.items()
            if given.get(name) != value
        )
        _log.info("init=%s: the model is that of the checkpoint%s", cfg.init, f" ({other})" if other else "")

    def _asked_for(self, model: DictConfig) -> dict[str, Any]:
        config: dict[str, Any] = {
            "feature_dim": self.data.features.dim,
            "num_types": self.space.num_types,
            "num_nodes": self.space.num_nodes,
            "hidden": model.hidden,
            "latent": model.latent,
            "num_heads": model.num_heads,
            "normalize": model.normalize,
        }
        if model.kind == "predictor":
            config["graph_encoder"] = predictor_option(model, "graph_encoder")
            config["arch_features"] = 0
            if predictor_option(model, "arch_features"):
                some = self.space.parse(self.data.arch_names[0])
                config["arch_features"] = self.arch_features.matrix([some]).shape[1]
        if model.kind == "generator":
            given = self.space.topology if model.constrained else None
            config["topology"] = None if given is None else given.nonzero().tolist()
        return config


def predictor_option(model: DictConfig, name: str) -> Any:
    """Return an option of model=predictor; run folders from before there was the key are of the paper's model."""
    return model.get(name, _FAITHFUL[name])


def _conditions(model: DictConfig, init: Checkpoint | None) -> list[str]:
    """Return what a generator is told; refuse what the one to start from was not."""
    asked = list(model.get("condition") or [])  # not in run folders from before there was this key
    if init is None:
        return asked
    known = list(init.parts[model.kind].config.get("conditions") or {})
    if asked and asked != known:
        raise ConfigError(
            f"model.condition=[{','.join(asked)}], but the generator of init was trained with "
            f"[{','.join(known)}]. Leave it out."
        )
    return known


def _short(value: Any) -> Any:
    return "given" if isinstance(value, list) else value
