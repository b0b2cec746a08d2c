from collections.abc import Callable

import pytest
import torch

from metad2a.errors import CheckpointError
from metad2a.models.checkpoint import Checkpoint
from metad2a.spaces.nasbench201 import NASBench201
from metad2a.training.fine_tuning import check_init, initial_model
from metad2a.training.meta_data import MetaData
from metad2a.training.predictor_objective import PredictorObjective

MakeCheckpoint = Callable[..., Checkpoint]
FINGERPRINT = "test features"


@pytest.mark.parametrize("target", [(70.0, 5.0), (31.0, 250.0), (90.0, 0.5)])
def test_a_predictor_goes_on_predicting_the_same_percentages(
    target: tuple[float, float], make_checkpoint: MakeCheckpoint, make_data: Callable[..., MetaData]
) -> None:
    data = make_data(tasks=4, per_task=6)
    objective = PredictorObjective(
        data=data, train_rows=data.train_rows, valid_rows=data.valid_rows, batch_size=8, images_per_class=4, seed=0
    )
    batch = next(objective.batches(0))
    checkpoint = make_checkpoint("predictor")  # accuracy = 70 + 5 * score
    before, after = checkpoint.build("predictor"), initial_model(checkpoint, "predictor", target)
    mean, scale = target
    torch.testing.assert_close(
        mean + scale * after(batch.sets, batch.archs),
        70 + 5 * before(batch.sets, batch.archs),
        rtol=1e-5,
        atol=1e-3,
    )
    assert all(parameter.requires_grad for parameter in after.parameters())


def test_a_generator_and_a_predictor_of_unknown_scale_start_as_they_are(make_checkpoint: MakeCheckpoint) -> None:
    for checkpoint, kind, target in (
        (make_checkpoint(), "generator", None),
        (make_checkpoint(target=None), "predictor", (50.0, 2.0)),
    ):
        model = initial_model(checkpoint, kind, target)
        assert all(
            torch.equal(model.state_dict()[key], value) for key, value in checkpoint.parts[kind].state.items()
        )
        with torch.no_grad():
            next(model.parameters()).add_(1)
        key, value = next(iter(checkpoint.parts[kind].state.items()))
        assert not torch.equal(model.state_dict()[key], value), "training the model changes the checkpoint"


@pytest.mark.parametrize(
    ("kind", "space", "fingerprint", "words"),
    [
        ("generator", NASBench201.name, FINGERPRINT, "mine holds a predictor, but a generator is needed"),
        (
            "predictor",
            "mobilenetv3",
            FINGERPRINT,
            "mine: .*for the search space 'nasbench201', not for 'mobilenetv3'. Use space=nasbench201,",
        ),
        ("predictor", NASBench201.name, "other", "mine: .*trained on features of the embedder 'pixels'"),
    ],
)
def test_what_cannot_be_trained_further(
    kind: str, space: str, fingerprint: str, words: str, make_checkpoint: MakeCheckpoint
) -> None:
    with pytest.raises(CheckpointError, match=words):
        check_init(make_checkpoint("predictor"), kind, name="mine", space=space, embedder_fingerprint=fingerprint)
