"""What a predictor learns: accuracies or their ranks within tasks, record by record or pair by pair."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from metad2a.errors import ConfigError
from metad2a.models.predictor import Predictor
from metad2a.training.objectives import NEW_TASKS, MetaBatch, Objective
from metad2a.training.ranking import mean_of_repeats, pair_error, rank_agreement, spearman_within
from metad2a.training.selection import advantage
from metad2a.training.task_ranks import Label
from metad2a.training.within_tasks import WithinTasks, pairwise_loss, spread_within, within_tasks

_REFERENCES = 64  # architectures over which a task's mean prediction is taken
Aim = Literal["accuracy", "ranks"]
LossName = Literal["squared", "pairwise"]


@dataclass(kw_only=True)
class PredictorObjective(Objective):
    """Squared error on standardised accuracy, as in the paper, or what ``aim`` and ``loss_name`` make of it.

    Labels of several recipes are standardised within each, and the model is told the recipe. Whatever is learned,
    records of tasks with too few architectures to be ranked are left out where it is the order within tasks that
    counts.

    Args:
        target_scale: of the regressed values. The official implementation divides the standardised accuracy by 100
            once more (0.01), which leaves its gradients weak; 1 is the default.
        aim: what is regressed: standardised ``accuracy``, or its normal ``ranks`` within the task.
        loss_name: ``squared`` error, or ``pairwise``: the logistic loss of all pairs of records of a task that are
            in a batch, see ``pairwise_loss``; the batches then keep the records of a task together. Only the order
            is learned, so that ``aim`` and ``target_scale`` make no difference.
        label: what is ranked within a task, see ``metad2a.training.task_ranks.ranks_of``.
        arch_features: of each architecture of ``data`` what ``ArchFeatures`` says, for predictors that read it.

    Raises:
        ConfigError: pairs are to be compared in several processes.
        DatabaseError: no task has enough architectures to be ranked.
    """

    kind: ClassVar[str] = "predictor"
    target_scale: float = 1.0
    aim: Aim = "accuracy"
    loss_name: LossName = "squared"
    label: Label = "accuracy"
    arch_features: Float[Tensor, "A D"] | None = None
    _within: WithinTasks | None = field(default=None, init=False, repr=False)
    _fitted: tuple[float, float] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.loss_name == "pairwise" and self.world_size > 1:
            raise ConfigError(
                "model.loss=pairwise compares the records of a batch with each other, and several processes have "
                "parts of it. Set trainer.devices=1."
            )
        if self.aim == "ranks" or self.loss_name == "pairwise":
            self._within = within_tasks(self.data, self.train_rows, label=self.label)
            self.train_rows = self._within.rows

    @property
    def target(self) -> tuple[float, float]:
        """Mean and scale: accuracy in percent = mean + scale * the model's score.

        Where the order within tasks is learned, the mean is that of a middling task and the scale gives predictions
        the spread of a task's accuracies; scores learned from pairs have one only once they were validated.
        """
        return self._percent if self._fitted is None else self._fitted

    @cached_property
    def _percent(self) -> tuple[float, float]:
        mean, std = self.data.target() if self._within is None else (self._within.level, self._within.spread)
        return mean, std / self.target_scale

    @property
    def measured(self) -> dict[str, Any]:
        """See ``Objective.measured``; of a predictor level and spread of each recipe, where there are several."""
        recipes = self.data.recipes
        return {"recipes": dict(zip(recipes, self._levels, strict=True))} if recipes else {}

    def shuffled(self, generator: torch.Generator) -> Int[Tensor, " R_train"]:
        """Return the training records, shuffled; those of a task follow each other where pairs are compared."""
        rows = super().shuffled(generator)
        if self.loss_name == "squared":
            return rows
        place = torch.randperm(len(self.data.tasks) * max(len(self.data.recipes), 1), generator=generator)
        return rows[place[self.data.group_of[rows]].argsort(stable=True)]

    def loss(self, model: nn.Module, batch: MetaBatch) -> Mapping[str, Tensor]:
        """See ``Objective.loss``."""
        scores = model(
            batch.sets, batch.archs, *self._features_of(self.data.arch_of[batch.rows]), **self._recipes_of(batch)
        )
        if self._within is None:
            mean, scale = self._standard(batch)
            return self.reduce((scores - (batch.accuracy - mean) / scale).square().sum(), batch)
        rank = self._within.rank[batch.rows].to(scores)
        if self.loss_name == "pairwise":
            return self.reduce(pairwise_loss(scores, rank, self.data.group_of[batch.rows].to(scores.device)), batch)
        return self.reduce((scores - self.target_scale * rank).square().sum(), batch)

    def _features_of(self, archs: Int[Tensor, " B"] | slice) -> tuple[Float[Tensor, "B D"], ...]:
        """Return what the model is told of architectures beside their graphs, if anything."""
        return () if self.arch_features is None else (self.arch_features[archs].to(self.device, self.dtype),)

    def _recipes_of(self, batch: MetaBatch) -> dict[str, Int[Tensor, " B"]]:
        """Return by what recipes the batch's labels are, where there are several."""
        if not self.data.recipes:
            return {}
        return {"recipes": self.data.recipe_number[batch.rows].to(self.device)}

    def _standard(self, batch: MetaBatch) -> tuple[Any, Any]:
        """Return what the batch's accuracies are standardised by: within their recipe, where there are several."""
        if not self.data.recipes:
            return self.target
        levels = torch.tensor(self._levels).to(batch.accuracy)[self.data.recipe_number[batch.rows]]
        return levels[:, 0], levels[:, 1] / self.target_scale

    @cached_property
    def _levels(self) -> tuple[tuple[float, float], ...]:
        if self._within is not None:
            return self._within.recipes
        return tuple(self.data.target(recipe) for recipe in range(len(self.data.recipes)))

    def records_a_step(self, batch: MetaBatch) -> float:
        """Return what a sum is divided by to be logged: the records count the same, as officially."""
        return len(self.train_rows) / self.batches_per_epoch

    @cached_property
    def _advantage(self) -> Float[np.ndarray, " R_valid"]:
        every_row = self.data.of_recipe(torch.arange(len(self.data.accuracy)))
        found = np.zeros(len(self.data.accuracy))
        found[every_row.numpy()] = advantage(self.data, every_row)
        return found[self.valid_rows.numpy()]

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> dict[str, float]:
        """Return rank agreement with the truth, and the mean absolute error in percent.

        ``val/spearman`` pools all records, so it also rewards knowing which task is easy; what chooses networks is
        ``val/spearman_advantage``: what a prediction adds to the task's mean over some architectures, against what
        the record's accuracy adds to what its task explains. ``val/spearman_within_tasks`` is the mean over tasks
        with four architectures or more. ``val/pair_error`` is how far a predicted difference between two
        architectures of a task is from the true one, in percent. A pair of task and architecture with several
        records counts once, by their mean.
        """
        predictor = cast("Predictor", getattr(model, "module", model))
        some = slice(_REFERENCES)
        reference = predictor.encode_archs(self.data.archs[some].to(self.device), *self._features_of(some))
        parts = []
        for batch in self.validation_batches():
            sets = predictor.encode_sets(batch.sets)
            own = predictor(batch.sets, batch.archs, *self._features_of(self.data.arch_of[batch.rows]))
            parts.append(torch.stack([own, own - predictor.score(sets, reference).mean(1)]))
        scores, added = torch.cat(parts, dim=1).double().cpu().numpy()
        if self._within is not None and self.loss_name == "pairwise":
            self._fitted = self._line(self._within, scores)
        mean, scale = self.target
        predicted = scores * scale + mean
        values = self._scores("val/", predicted, added, np.ones(len(predicted), bool))
        if self.is_new_task is not None:
            values |= self._scores(NEW_TASKS, predicted, added, self.is_new_task.numpy())
        return values

    def _line(self, within: WithinTasks, scores: Float[np.ndarray, " R_valid"]) -> tuple[float, float]:
        """Return ``target`` for scores of any level and spread; the validation records' accuracies are not read."""
        spread = spread_within(scores, self.data.task_of[self.valid_rows].numpy())
        scale = within.spread / max(spread, 1e-6)
        return within.level - scale * float(scores.mean()), scale

    def _scores(
        self,
        prefix: str,
        predicted: Float[np.ndarray, " R_valid"],
        added: Float[np.ndarray, " R_valid"],
        counted: Bool[np.ndarray, " R_valid"],
    ) -> dict[str, float]:
        """Return the scores over the records that are ``counted``."""
        rows = self.valid_rows[torch.from_numpy(counted)]
        task, (predicted, added, true, advantage) = mean_of_repeats(
            self.data.task_of[rows].numpy(),
            self.data.arch_of[rows].numpy(),
            *(predicted[counted], added[counted]),
            *(self.data.accuracy[rows].double().numpy(), self._advantage[counted]),
        )
        within, tasks = spearman_within(predicted, true, task)
        between, pairs = pair_error(predicted, true, task)
        return {
            **{f"{prefix}{name}": value for name, value in rank_agreement(predicted, true).items()},
            f"{prefix}mae": float(abs(predicted - true).mean()),
            f"{prefix}spearman_advantage": rank_agreement(added, advantage)["spearman"],
            **({f"{prefix}spearman_within_tasks": within} if tasks else {}),
            **({f"{prefix}pair_error": between} if pairs else {}),
        }
