"""Metrics by name: on class indices they give what Keras gives on one-hot labels."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from drawn_labels import (
    ALONE,
    CHANCES,
    CLASSES,
    GUESSES,
    INDICES,
    NUMBERS,
    ONE_HOT,
    PROBABILITIES,
    SEVERAL,
    WRITTEN,
    YES_NO,
)

from tfx_fusion.modules.evaluation.metrics import measure
from tfx_fusion.modules.metrics.table import METRICS, Kind
from tfx_fusion.modules.training.losses import new_metric


def measured(
    name: str,
    labels: np.ndarray,
    predictions: np.ndarray,
    kind: Kind = "category",
) -> float:
    metric = new_metric(name, kind, predictions.shape[-1])
    # In two batches, as in training.
    metric.update_state(labels[:25], predictions[:25])
    metric.update_state(labels[25:], predictions[25:])
    return float(metric.result())


@pytest.mark.parametrize(
    ("kind", "labels", "predictions"),
    [
        ("category", INDICES, PROBABILITIES),
        ("binary", YES_NO, CHANCES),
        ("multi_label", SEVERAL, ALONE),
        ("number", NUMBERS + 13, GUESSES + 13),
        ("number", NUMBERS * np.float32(1e30), GUESSES * np.float32(1e30)),
    ],
)
def test_training_measures_what_the_evaluation_does(
    kind: Kind, labels: np.ndarray, predictions: np.ndarray
) -> None:
    for name in WRITTEN:
        if kind in METRICS[name.partition("@")[0]].formulas:
            wanted = measure(kind, name, labels, predictions)(np.ones((1, 40)))[0]
            found = measured(name, labels, predictions, kind)
            assert found == pytest.approx(wanted, rel=1e-6, abs=1e-5), name


def test_a_metric_is_reset_between_epochs() -> None:
    metric = new_metric("f1", "binary")
    metric.update_state(YES_NO, CHANCES)
    first = float(metric.result())
    metric.reset_state()
    assert float(metric.result()) == 0
    metric.update_state(YES_NO, CHANCES)
    assert float(metric.result()) == first


def test_the_accuracy_of_indices_is_that_of_one_hot_labels() -> None:
    oracle = keras.metrics.CategoricalAccuracy()
    oracle.update_state(ONE_HOT, PROBABILITIES)

    given = measured("accuracy", INDICES, PROBABILITIES)

    assert given == pytest.approx(float(oracle.result()))
    assert given == pytest.approx(np.mean(PROBABILITIES.argmax(axis=1) == INDICES))


def test_the_top_3_accuracy_of_indices_is_that_of_one_hot_labels() -> None:
    oracle = keras.metrics.TopKCategoricalAccuracy(3)
    oracle.update_state(ONE_HOT, PROBABILITIES)

    given = measured("top_3_accuracy", INDICES, PROBABILITIES)

    assert given == pytest.approx(float(oracle.result()))
    assert 0 < given < 1


def test_the_accuracy_of_a_binary_output_counts_from_one_half() -> None:
    given = measured("accuracy", YES_NO, CHANCES, "binary")

    assert given == pytest.approx(np.mean((CHANCES[:, 0] > 0.5) == YES_NO))


def test_the_auc_of_a_binary_output_is_the_share_of_pairs_in_order() -> None:
    given = measured("auc", YES_NO, CHANCES, "binary")

    of_yes, of_no = CHANCES[YES_NO == 1, 0], CHANCES[YES_NO == 0, 0]
    in_order = np.mean(of_yes[:, None] > of_no[None, :])
    # Keras counts at 200 thresholds.
    assert given == pytest.approx(in_order, abs=0.01)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("accuracy", np.mean((ALONE > 0.5) == SEVERAL)),
        ("precision", np.mean(SEVERAL[ALONE > 0.5])),
        ("recall", np.mean((ALONE > 0.5)[SEVERAL == 1])),
    ],
)
def test_of_several_classes_every_yes_or_no_counts_alike(name: str, by_hand: float) -> None:
    given = measured(name, SEVERAL, ALONE, "multi_label")

    assert given == pytest.approx(by_hand)


def test_the_auc_of_several_classes_is_the_mean_of_theirs() -> None:
    given = measured("auc", SEVERAL, ALONE, "multi_label")

    single = [measured("auc", SEVERAL[:, n], ALONE[:, n : n + 1], "binary") for n in range(CLASSES)]
    assert given == pytest.approx(np.mean(single), rel=1e-6)
    assert given != pytest.approx(measured("auc", SEVERAL, ALONE, "binary"), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "by_hand"),
    [
        ("mean_squared_error", np.mean((NUMBERS - GUESSES) ** 2)),
        ("mean_absolute_error", np.mean(np.abs(NUMBERS - GUESSES))),
        ("root_mean_squared_error", np.sqrt(np.mean((NUMBERS - GUESSES) ** 2))),
    ],
)
def test_the_errors_of_numbers_are_what_they_are_called(name: str, by_hand: float) -> None:
    assert measured(name, NUMBERS, GUESSES, "number") == pytest.approx(by_hand, rel=1e-5)


def test_a_metric_is_called_in_the_record_as_in_the_specification() -> None:
    for name in ("accuracy", "auc", "precision@0.3", "precision_at_recall@0.9", "f1"):
        assert new_metric(name, "binary").name == name
