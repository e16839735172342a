"""Metrics are Keras's, also as TFMA sums them; intervals hold the truth as often as they say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from scipy import stats
from tensorflow_model_analysis.metrics.metric_types import StandardMetricInputs

from tfx_fusion.modules.evaluation.metrics import (
    Counted,
    intervals_of,
    measure,
    measures_of,
    values_of,
)
from tfx_fusion.modules.evaluation.tfma_config import SpecificationMetric
from tfx_fusion.modules.spec import Specification

RANDOM = np.random.default_rng(4)
CLASSES = ["a", "b", "c", "d", "e"]
LABELS: dict[str, dict[str, Any]] = {
    "kind": {"type": "category", "column": "kind", "classes": CLASSES},
    "yes": {"type": "category", "column": "yes", "classes": ["n", "y"]},
    "tags": {"type": "multi_label", "column": "tags", "classes": ["p", "q", "r"]},
    "size": {"type": "number", "column": "size"},
}
BINARY = ("accuracy", "precision", "recall", "auc")
METRICS = {
    "kind": ("accuracy", "top_3_accuracy"),
    "yes": BINARY,
    "tags": BINARY,
    "size": ("mean_squared_error", "mean_absolute_error", "root_mean_squared_error"),
}
LOSSES = {
    "kind": "categorical_crossentropy", "yes": "binary_crossentropy",
    "tags": "binary_crossentropy", "size": "mean_squared_error",
}  # fmt: skip
KERAS: dict[str, dict[str, Callable[[], keras.metrics.Metric]]] = {
    "kind": {
        "accuracy": keras.metrics.SparseCategoricalAccuracy,
        "top_3_accuracy": lambda: keras.metrics.SparseTopKCategoricalAccuracy(3),
    },
    "yes": {
        "accuracy": keras.metrics.BinaryAccuracy, "precision": keras.metrics.Precision,
        "recall": keras.metrics.Recall, "auc": keras.metrics.AUC,
    },
    "tags": {
        "accuracy": keras.metrics.BinaryAccuracy, "precision": keras.metrics.Precision,
        "recall": keras.metrics.Recall,
        "auc": lambda: keras.metrics.AUC(multi_label=True, num_labels=3),
    },
    "size": {
        "mean_squared_error": keras.metrics.MeanSquaredError,
        "mean_absolute_error": keras.metrics.MeanAbsoluteError,
        "root_mean_squared_error": keras.metrics.RootMeanSquaredError,
    },
}  # fmt: skip
ALL = [(output, metric) for output, metrics in METRICS.items() for metric in metrics]


@pytest.fixture(scope="module")
def specification() -> Specification:
    return Specification.model_validate(
        {
            "name": "measured",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": {"x": {"type": "number", "column": "x"}},
            "labels": LABELS,
            "outputs": {
                name: {"from": "x", "loss": LOSSES[name], "metrics": METRICS[name]}
                for name in LABELS
            },
            "training": {"stages": [{"name": "a", "epochs": 1, "learning_rate": 0.1}]},
            "publish": {"path": "serving"},
        }
    )


def rows_of(output: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels as the loss takes them, and predictions that are often right."""
    if output == "kind":
        labels = RANDOM.integers(5, size=rows)
        chances = RANDOM.dirichlet(np.ones(5), rows) + 0.3 * np.eye(5)[labels]
        return labels, (chances / chances.sum(axis=1, keepdims=True)).astype("float32")
    if output == "size":
        labels = RANDOM.normal(size=(rows, 1)).astype("float32")
        return labels, labels + RANDOM.normal(size=(rows, 1)).astype("float32")
    wide = 1 if output == "yes" else 3
    labels = RANDOM.integers(2, size=(rows, wide))
    chances = np.clip(0.3 * labels + RANDOM.uniform(size=(rows, wide)) * 0.7, 0, 1)
    return labels[:, 0] if output == "yes" else labels.astype("float32"), chances.astype("float32")


def of_keras(output: str, metric: str, labels: np.ndarray, predictions: np.ndarray) -> float:
    oracle = KERAS[output][metric]()
    oracle.update_state(labels.reshape(len(predictions), -1), predictions)
    return float(oracle.result())


@pytest.mark.parametrize(("output", "metric"), ALL)
@pytest.mark.parametrize("rows", [1, 7, 300])
def test_a_measure_is_keras_s_metric(
    specification: Specification, output: str, metric: str, rows: int
) -> None:
    labels, predictions = rows_of(output, rows)

    found = values_of(measures_of(specification, output, labels, predictions), rows)

    assert set(found) == set(METRICS[output])
    wanted = of_keras(output, metric, labels, predictions)
    assert found[metric] == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize(("output", "metric"), ALL)
def test_a_row_that_counts_twice_is_a_row_that_stands_there_twice(
    specification: Specification, output: str, metric: str
) -> None:
    labels, predictions = rows_of(output, 40)
    counts = RANDOM.integers(4, size=(2, 40))

    found = measures_of(specification, output, labels, predictions)[metric](counts.astype(float))

    for value, count in zip(found, counts, strict=True):
        again = np.repeat(labels, count, axis=0), np.repeat(predictions, count, axis=0)
        assert value == pytest.approx(of_keras(output, metric, *again), abs=1e-5)


def test_classes_on_a_par_count_for_the_truth_as_in_keras(specification: Specification) -> None:
    labels, predictions = np.array([4]), np.array([[0.2] * 5], "float32")

    found = values_of(measures_of(specification, "kind", labels, predictions), 1)

    for metric, value in found.items():
        assert value == of_keras("kind", metric, labels, predictions)


def interval(measure: Counted, rows: int, confidence: float = 0.95) -> tuple[float, float]:
    return intervals_of({"it": measure}, rows, confidence, seed=1)["it"]


@pytest.mark.parametrize("right", [0, 3, 10])
def test_a_share_of_rows_has_wilson_s_interval(specification: Specification, right: int) -> None:
    labels = np.zeros(10, int)
    predictions = np.eye(5, dtype="float32")[[0] * right + [1] * (10 - right)]
    accuracy = measures_of(specification, "kind", labels, predictions)["accuracy"]

    wanted = stats.binomtest(right, 10).proportion_ci(0.95, method="wilson")

    assert interval(accuracy, 10) == pytest.approx((wanted.low, wanted.high))
    assert interval(accuracy, 10)[0] < interval(accuracy, 10)[1]  # even where all are right


def test_precision_is_a_share_of_the_yeses_given(specification: Specification) -> None:
    labels, chances = np.array([1, 1, 0, 1]), np.array([[0.9], [0.8], [0.7], [0.1]], "float32")
    precision = measures_of(specification, "yes", labels, chances)["precision"]

    wanted = stats.binomtest(2, 3).proportion_ci(0.95, method="wilson")

    assert interval(precision, 4) == pytest.approx((wanted.low, wanted.high))


def test_a_share_of_no_rows_may_be_any(specification: Specification) -> None:
    labels, chances = np.array([1, 0]), np.array([[0.1], [0.2]], "float32")
    found = measures_of(specification, "yes", labels, chances)

    assert values_of(found, 2)["precision"] == 0
    assert interval(found["precision"], 2) == (0, 1)


@pytest.mark.parametrize(
    ("output", "metric"), [("size", "mean_absolute_error"), ("tags", "accuracy")]
)
def test_other_intervals_are_those_of_scipy_s_bootstrap(
    specification: Specification, output: str, metric: str
) -> None:
    labels, predictions = rows_of(output, 120)
    of_row = np.abs(labels - predictions)[:, 0]
    if output == "tags":
        of_row = np.mean((predictions > 0.5) == (labels == 1), axis=1)
    wanted = stats.bootstrap(
        (of_row,), np.mean, n_resamples=5000, method="percentile", random_state=3
    ).confidence_interval

    found = interval(measures_of(specification, output, labels, predictions)[metric], 120)

    assert found == pytest.approx((wanted.low, wanted.high), abs=0.015)


def test_an_interval_holds_the_truth_as_often_as_it_says(specification: Specification) -> None:
    held = 0
    for _ in range(100):
        errors = RANDOM.normal(size=(60, 1))
        measure = measures_of(specification, "size", errors, np.zeros((60, 1)))
        low, high = interval(measure["mean_absolute_error"], 60, confidence=0.8)
        held += low <= np.sqrt(2 / np.pi) <= high  # the mean size of a normal number

    assert 65 <= held <= 92


def test_intervals_repeat_by_their_seed_and_differ_by_it(specification: Specification) -> None:
    found = measures_of(specification, "tags", *rows_of("tags", 50))

    first, again, other = (intervals_of(found, 50, 0.9, seed) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_intervals_do_not_depend_on_how_many_draws_fit_in_memory(
    specification: Specification, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = measures_of(specification, "tags", *rows_of("tags", 50))
    whole = intervals_of(found, 50, 0.9, 1)

    monkeypatch.setattr("tfx_fusion.modules.evaluation.metrics.DRAWN_AT_ONCE", 130)

    assert intervals_of(found, 50, 0.9, 1) == whole


# As TFMA sums them


def summed(kind: str, metric: str, labels: np.ndarray, predictions: np.ndarray) -> float:
    """A metric as TFMA computes it: row by row, in several accumulators that are then merged."""
    [computation] = SpecificationMetric(metric, kind).computations(
        model_names=[""], output_names=[""]
    )
    combiner = computation.combiner
    accumulators = [combiner.create_accumulator() for _ in range(3)]
    for number, (label, prediction) in enumerate(zip(labels, predictions, strict=True)):
        row = StandardMetricInputs(label=label, prediction=prediction, example_weight=None)
        place = number % 2  # one bundle has no rows
        accumulators[place] = combiner.add_input(accumulators[place], row)
    [(key, value)] = combiner.extract_output(combiner.merge_accumulators(accumulators)).items()
    assert key.name == metric
    return value


@pytest.mark.parametrize(("output", "metric"), ALL)
@pytest.mark.parametrize("rows", [1, 7, 800])
def test_tfma_sums_rows_to_keras_s_metric(
    specification: Specification, output: str, metric: str, rows: int
) -> None:
    labels, predictions = rows_of(output, rows)

    found = summed(specification.kind_of(output), metric, labels, predictions)

    assert found == pytest.approx(of_keras(output, metric, labels, predictions), abs=1e-5)
    whole = measures_of(specification, output, labels, predictions)[metric]
    assert found == pytest.approx(values_of({"it": whole}, rows)["it"], abs=1e-12)


# Corner cases of binary metrics


def value_of(metric: str, labels: np.ndarray, chances: np.ndarray) -> float:
    found = measure("binary", metric, labels, chances)
    return values_of({"it": found}, len(labels))["it"]


def random_tags(rows: int) -> tuple[np.ndarray, np.ndarray]:
    labels = RANDOM.integers(2, size=(rows, 3)).astype("float32")
    return labels, RANDOM.uniform(size=(rows, 3)).astype("float32")


def test_chances_on_the_thresholds_count_as_in_keras() -> None:
    chances = (RANDOM.integers(200, size=(400, 3)) / 199).astype("float32")
    labels, _ = random_tags(400)

    wanted = of_keras("tags", "auc", labels, chances)

    assert value_of("auc", labels, chances) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("always", [0, 1])
def test_a_class_that_all_or_no_rows_have_counts_as_in_keras(always: int) -> None:
    labels, chances = random_tags(50)
    labels[:, 1] = always

    wanted = of_keras("tags", "auc", labels, chances)

    assert value_of("auc", labels, chances) == pytest.approx(wanted, abs=1e-6)


def test_the_auc_does_not_compare_rows_across_classes() -> None:
    # Each class is in perfect order by itself, at a level of its own.
    labels = np.array([[0, 0, 0], [1, 1, 1]], "float32")
    chances = np.array([[0.1, 0.6, 0.8], [0.2, 0.7, 0.9]], "float32")

    assert value_of("auc", labels, chances) == pytest.approx(1)


@pytest.mark.parametrize("metric", ["precision", "recall"])
@pytest.mark.parametrize(
    ("labels", "chances"),
    [([1, 1, 0, 0], [0.9, 0.2, 0.8, 0.1]), ([1, 0], [0.2, 0.2]), ([0, 0], [0.9, 0.2])],
    ids=["all kinds", "no yes given", "no yes true"],
)
def test_precision_and_recall_are_numbers_where_keras_s_are(
    metric: str, labels: list, chances: list
) -> None:
    given = np.array(labels), np.array(chances, "float32")[:, None]

    assert value_of(metric, *given) == pytest.approx(of_keras("yes", metric, *given))
