"""Our own metrics for TFMA are Keras's, whatever the rows and however Beam bundles them."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from tensorflow_model_analysis.metrics.metric_types import StandardMetricInputs

from tfx_fusion.modules.evaluation.metrics import MultiLabelAUC, PrecisionOrZero, RecallOrZero

RANDOM = np.random.default_rng(8)
CLASSES = 3


def area(labels: np.ndarray, chances: np.ndarray, bundles: int = 3) -> float:
    """As TFMA computes it: rows one by one, in several accumulators that are then merged."""
    [computation] = MultiLabelAUC(CLASSES, "auc").computations(model_names=[""], output_names=[""])
    combiner = computation.combiner
    accumulators = [combiner.create_accumulator() for _ in range(bundles)]
    for number, (label, chance) in enumerate(zip(labels, chances, strict=True)):
        row = StandardMetricInputs(label=label, prediction=chance, example_weight=None)
        place = number % bundles
        accumulators[place] = combiner.add_input(accumulators[place], row)
    [(key, value)] = combiner.extract_output(combiner.merge_accumulators(accumulators)).items()
    assert key.name == "auc"
    return value


def of_keras(labels: np.ndarray, chances: np.ndarray) -> float:
    metric = keras.metrics.AUC(multi_label=True, num_labels=CLASSES)
    metric.update_state(labels, chances)
    return float(metric.result())


def random_labels(rows: int) -> np.ndarray:
    return RANDOM.integers(2, size=(rows, CLASSES)).astype("float32")


def random_chances(rows: int) -> np.ndarray:
    return RANDOM.uniform(size=(rows, CLASSES)).astype("float32")


@pytest.mark.parametrize("rows", [1, 7, 400])
def test_the_auc_of_any_rows_is_keras_s(rows: int) -> None:
    labels, chances = random_labels(rows), random_chances(rows)

    assert area(labels, chances) == pytest.approx(of_keras(labels, chances), abs=1e-6)


def test_chances_on_the_thresholds_count_as_in_keras() -> None:
    chances = (RANDOM.integers(200, size=(400, CLASSES)) / 199).astype("float32")
    labels = random_labels(400)

    assert area(labels, chances) == pytest.approx(of_keras(labels, chances), abs=1e-6)


@pytest.mark.parametrize("always", [0, 1])
def test_a_class_that_all_or_no_rows_have_counts_as_in_keras(always: int) -> None:
    labels, chances = random_labels(50), random_chances(50)
    labels[:, 1] = always

    assert area(labels, chances) == pytest.approx(of_keras(labels, chances), abs=1e-6)


def test_the_auc_does_not_compare_rows_across_classes() -> None:
    # Each class is in perfect order by itself, at a level of its own.
    labels = np.array([[0, 0, 0], [1, 1, 1]], "float32")
    chances = np.array([[0.1, 0.6, 0.8], [0.2, 0.7, 0.9]], "float32")

    assert area(labels, chances) == pytest.approx(1)


@pytest.mark.parametrize(
    ("metric", "oracle"),
    [
        (PrecisionOrZero(name="precision"), keras.metrics.Precision()),
        (RecallOrZero(name="recall"), keras.metrics.Recall()),
    ],
)
@pytest.mark.parametrize(
    ("labels", "chances"),
    [([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]), ([1, 0], [0.2, 0.2]), ([0, 0], [0.9, 0.2])],
    ids=["all kinds", "no yes given", "no yes true"],
)
def test_precision_and_recall_are_numbers_where_keras_s_are(
    metric: PrecisionOrZero, oracle: keras.metrics.Metric, labels: list, chances: list
) -> None:
    oracle.reset_state()
    oracle.update_state(labels, chances)
    given, true = np.array(chances) > 0.5, np.array(labels) == 1

    counts = {
        "tp": sum(given & true), "tn": sum(~given & ~true),
        "fp": sum(given & ~true), "fn": sum(~given & true),
    }  # fmt: skip

    assert metric.result(**counts) == pytest.approx(float(oracle.result()))
