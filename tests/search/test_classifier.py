import inspect
import pickle
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from metad2a import MetaD2AClassifier
from metad2a.errors import ConfigError, DataError, LimitError, UnknownNameError, UserError
from metad2a.fitting.recipe import Recipe
from metad2a.search.network_module import load_module

TINY = Recipe("tiny", epochs=1, batch_size=32, learning_rate=0.1, resolution=4, scale={"channels": 2, "cells": 1})
LEARNS = replace(TINY, epochs=6, schedule="one_cycle", warmup=0.3, scale={"channels": 16, "cells": 1})
QUICK: dict[str, Any] = {
    **{"n_candidates": 2, "images_per_class": 1, "recipe": TINY, "random_state": 0, "device": "cpu"},
}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """The first 300 of scikit-learn's digits, as rows of 64 numbers from 0 to 16, with names as labels."""
    rows, labels = load_digits(return_X_y=True)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])
    return rows[:300], names[labels[:300]]


@pytest.fixture(scope="module")
def fitted(digits: tuple[np.ndarray, np.ndarray]) -> MetaD2AClassifier:
    return MetaD2AClassifier(**QUICK).fit(*digits)


@parametrize_with_checks([MetaD2AClassifier(**QUICK)])
def test_scikit_learns_own_checks(
    estimator: MetaD2AClassifier, check: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them; none is expected to fail."""
    if "check_classifiers_train" in str(check):  # this one wants to see that something is learned
        estimator = clone(estimator).set_params(recipe=LEARNS)
    if "check_do_not_raise_errors_in_init" in str(check):  # with values of wrong types, which these tests forbid
        monkeypatch.setattr(MetaD2AClassifier, "__init__", inspect.unwrap(MetaD2AClassifier.__init__))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*make no square picture")
        check(estimator)


# --- what it finds --------------------------------------------------------------------------------------------


def test_it_learns_digits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    train, test, labels, truth = train_test_split(*digits, random_state=0, stratify=digits[1])
    classifier = MetaD2AClassifier(**QUICK | {"recipe": replace(LEARNS, resolution=8)})
    assert classifier.fit(train, labels) is classifier
    assert classifier.score(test, truth) > 0.7  # chance is 0.1
    probabilities = classifier.predict_proba(test)
    assert probabilities.shape == (len(test), 10)
    np.testing.assert_allclose(probabilities.sum(1), 1, rtol=1e-5)
    assert np.array_equal(classifier.predict(test), classifier.classes_[probabilities.argmax(1)])


def test_what_is_known_after_fit(fitted: MetaD2AClassifier, digits: tuple[np.ndarray, np.ndarray]) -> None:
    assert fitted.classes_.tolist() == sorted(set(digits[1]))
    assert fitted.n_features_in_ == 64
    assert fitted.arch_ == fitted.result_.best.arch
    assert (fitted.result_.seed, len(fitted.result_.candidates)) == (0, 2)
    assert fitted.fitted_.card.classes == tuple(fitted.classes_)
    assert fitted.network_(torch.zeros(2, 3, 4, 4)).shape == (2, 10)


def test_the_same_state_gives_the_same_classifier(
    fitted: MetaD2AClassifier, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    rows = digits[0]
    again = clone(fitted).fit(*digits)
    assert again.arch_ == fitted.arch_
    assert np.array_equal(again.predict_proba(rows), fitted.predict_proba(rows))
    other = clone(fitted).set_params(random_state=1).fit(*digits)
    assert not np.array_equal(other.predict_proba(rows), fitted.predict_proba(rows))
    one, two = (clone(fitted).set_params(random_state=np.random.RandomState(7)).fit(*digits) for _ in range(2))
    assert np.array_equal(one.predict_proba(rows), two.predict_proba(rows))


def test_it_can_be_pickled(fitted: MetaD2AClassifier, digits: tuple[np.ndarray, np.ndarray]) -> None:
    copy = pickle.loads(pickle.dumps(fitted))  # noqa: S301 - our own
    assert np.array_equal(copy.predict_proba(digits[0]), fitted.predict_proba(digits[0]))


def test_the_best_of_several_in_validation_is_kept(digits: tuple[np.ndarray, np.ndarray]) -> None:
    classifier = MetaD2AClassifier(**QUICK | {"n_candidates": 4, "train_top": 3, "validation_fraction": 0.5})
    classifier.fit(*digits)
    best = int(np.argmax(classifier.valid_accuracies_))
    assert len(classifier.valid_accuracies_) == 3
    assert classifier.arch_ == classifier.result_.candidates[best].arch
    assert classifier.fitted_.card.accuracy == max(classifier.valid_accuracies_)


def test_limits_hold(digits: tuple[np.ndarray, np.ndarray]) -> None:
    classifier = MetaD2AClassifier(**QUICK, max_params=2_300, max_flops=4_700).fit(*digits)
    assert all(one.params <= 2_300 and one.flops <= 4_700 for one in classifier.result_.candidates)
    trained = sum(weight.numel() for weight in classifier.network_.parameters())
    assert trained == classifier.result_.best.params, "they are limits of the network that is trained"
    with pytest.raises(LimitError, match="max_params=10"):
        clone(classifier).set_params(max_params=10).fit(*digits)


# --- in scikit-learn's company --------------------------------------------------------------------------------


def test_in_a_pipeline_and_a_grid_search(digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = (part[:100] for part in digits)
    pipeline = make_pipeline(MinMaxScaler(), MetaD2AClassifier(**QUICK))
    assert cross_val_score(pipeline, rows, labels, cv=2, error_score="raise").shape == (2,)
    grid = {"max_params": [2_300, 2_700], "epochs": [1]}
    search = GridSearchCV(MetaD2AClassifier(**QUICK), grid, cv=2, error_score="raise").fit(rows, labels)
    assert search.best_estimator_.result_.best.params <= search.best_params_["max_params"]


# --- pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["gray", "channel", "colour", "rows", "shares"])
def test_pictures_in_several_forms(form: str) -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([3, 8], 8)
    gray = rng.integers(0, 100, (16, 6, 6)).astype(np.uint8)
    gray[labels == 8] += 120
    colour = np.repeat(gray[..., None], 3, axis=3)
    pictures: Any = {
        "gray": gray,
        "channel": gray[..., None],
        "colour": colour,
        "rows": colour.reshape(16, -1),
        "shares": gray / 255,
    }[form]
    classifier = MetaD2AClassifier(**QUICK, image_shape=(6, 6, 3) if form == "rows" else None)
    found = classifier.fit(pictures, labels).predict_proba(pictures)
    expected = MetaD2AClassifier(**QUICK).fit(gray, labels).predict_proba(gray)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert classifier.n_features_in_ == pictures[0].size


def test_one_image_a_class_is_enough(digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = digits
    _, first = np.unique(labels, return_index=True)
    assert MetaD2AClassifier(**QUICK).fit(rows[first], labels[first]).predict(rows).shape == (300,)


def test_the_network_can_be_taken_away(
    fitted: MetaD2AClassifier, digits: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    folder = fitted.export(tmp_path / "out", onnx=False)
    names = load_module((folder / "network.py").read_text("utf-8"))
    network = names["build"](str(folder / "weights.pt"))
    images = np.rint(digits[0].reshape(-1, 1, 8, 8) / 16 * 255).repeat(3, axis=1)
    squares = torch.nn.functional.interpolate(
        torch.from_numpy(images.astype(np.uint8)), (4, 4), mode="bicubic", antialias=True
    )
    found = network(names["prepare"](squares)).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, fitted.predict_proba(digits[0]), rtol=1e-4, atol=1e-6)


# --- mistakes -------------------------------------------------------------------------------------------------


def test_mistakes_are_told(fitted: MetaD2AClassifier, digits: tuple[np.ndarray, np.ndarray]) -> None:
    rows, labels = digits
    holed = rows.copy()
    holed[0, 0] = np.nan
    wrong: list[tuple[type[UserError], str, dict[str, Any], Any, Any]] = [
        (DataError, "NaN", {}, holed, labels),
        (DataError, "one class only, 'one'", {}, rows, np.full(300, "one")),
        (DataError, "inconsistent numbers of samples", {}, rows, labels[:-1]),
        (DataError, "Unknown label type: continuous", {}, rows, np.linspace(0, 1, 300)),
        (DataError, "makes 9 numbers, but X has 64", {"image_shape": (3, 3)}, rows, labels),
        (UnknownNameError, "unknown recipe 'shrot'", {"recipe": "shrot"}, rows, labels),
        (UnknownNameError, "unknown checkpoint", {"checkpoint": "nasbench"}, rows, labels),
        (ConfigError, "train_top=0", {"train_top": 0}, rows, labels),
        (ConfigError, "validation_fraction=1", {"validation_fraction": 1.0}, rows, labels),
        (ConfigError, "n_candidates=0", {"n_candidates": 0}, rows, labels),
        (ConfigError, "epochs is 0", {"epochs": 0}, rows, labels),
    ]
    for kind, words, parameters, given, answers in wrong:
        with pytest.raises(kind, match=words) as caught:
            MetaD2AClassifier(**QUICK | parameters).fit(given, answers)
        assert isinstance(caught.value, ValueError)
    with pytest.raises(DataError, match="8 features"):
        fitted.predict(rows[:, :8])
    with pytest.raises(DataError, match=r"shape \(16, 4\), but those of fit had \(8, 8\)"):
        fitted.predict(rows.reshape(-1, 16, 4))
    with pytest.raises(NotFittedError):
        MetaD2AClassifier().predict(rows)
