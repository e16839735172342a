"""Formulas of metrics against scikit-learn, Keras and NumPy, also row by row and drawn twice."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from sklearn import metrics as sk

from tfx_fusion.modules.evaluation.metrics import Measure, measure
from tfx_fusion.modules.metrics.table import (
    METRICS,
    Kind,
    baseline,
    facts,
    larger_is_better,
    printed_name,
)

RANDOM = np.random.default_rng(11)
CLASSES = 5
Oracle = Callable[[np.ndarray, np.ndarray], float]


def rows_of(kind: Kind, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels as the loss takes them, and predictions that are often right."""
    if kind == "category":
        labels = RANDOM.integers(CLASSES - 1, size=rows)  # the last class has no row
        chances = RANDOM.dirichlet(np.ones(CLASSES), rows) + 0.3 * np.eye(CLASSES)[labels]
        return labels, (chances / chances.sum(axis=1, keepdims=True)).astype("float32")
    if kind == "number":
        labels = (13 + 2 * RANDOM.normal(size=(rows, 1))).astype("float32")
        return labels, labels + RANDOM.normal(size=(rows, 1)).astype("float32")
    wide = 1 if kind == "binary" else 3
    labels = RANDOM.integers(2, size=(rows, wide))
    chances = np.clip(0.3 * labels + RANDOM.uniform(size=(rows, wide)) * 0.7, 0.001, 0.999)
    labels = labels[:, 0] if kind == "binary" else labels.astype("float32")
    return labels, chances.astype("float32")


def value_of(found: Measure, rows: int) -> float:
    return float(found(np.ones((1, rows)))[0])


def answers(chances: np.ndarray) -> np.ndarray:
    return chances.argmax(axis=1)


def macro(score: Any) -> Oracle:
    return lambda y, p: score(
        y, answers(p), average="macro", labels=range(CLASSES), zero_division=0
    )


def over(score: Any, threshold: float, **options: Any) -> Oracle:
    return lambda y, p: score(
        y.reshape(p.shape).squeeze(), (p > threshold).squeeze(), zero_division=0, **options
    )


def flat_accuracy(y: np.ndarray, p: np.ndarray) -> float:
    return sk.accuracy_score(y.reshape(-1), (p > 0.3).reshape(-1))


def of_keras(make: Callable[[], keras.metrics.Metric]) -> Oracle:
    def oracle(y: np.ndarray, p: np.ndarray) -> float:
        metric = make()
        metric.update_state(y.reshape(p.shape), p)
        return float(metric.result())

    return oracle


def binned(confidence: np.ndarray, right: np.ndarray, bins: int) -> float:
    """The calibration error by a plain loop over bins."""
    total = 0.0
    for number in range(bins):
        inside = (confidence > number / bins) & (confidence <= (number + 1) / bins)
        if inside.any():
            gap = abs(confidence[inside].mean() - right[inside].mean())
            total += inside.mean() * gap
    return total


def lowest_threshold(y: np.ndarray, p: np.ndarray) -> float:
    for step in range(200):
        said = p.reshape(-1) > np.float32(step / 199)
        if said.any() and (y.reshape(-1)[said] == 1).mean() >= 0.8:
            return step / 199
    return 1.0


MICRO, MACRO = {"average": "micro"}, {"average": "macro"}
ORACLES: list[tuple[Kind, str, Oracle]] = [
    ("category", "accuracy", lambda y, p: sk.accuracy_score(y, answers(p))),
    ("category", "top_3_accuracy",
     lambda y, p: sk.top_k_accuracy_score(y, p, k=3, labels=range(CLASSES))),
    ("category", "balanced_accuracy", lambda y, p: sk.balanced_accuracy_score(y, answers(p))),
    ("category", "macro_precision", macro(sk.precision_score)),
    ("category", "macro_recall", macro(sk.recall_score)),
    ("category", "macro_f1", macro(sk.f1_score)),
    ("category", "micro_precision", lambda y, p: sk.precision_score(y, answers(p), **MICRO)),
    ("category", "micro_recall", lambda y, p: sk.recall_score(y, answers(p), **MICRO)),
    ("category", "micro_f1", lambda y, p: sk.f1_score(y, answers(p), **MICRO)),
    ("category", "log_loss", lambda y, p: sk.log_loss(y, p / p.sum(axis=1, keepdims=True),
                                                      labels=range(CLASSES))),
    ("category", "calibration_error",
     lambda y, p: binned(p.max(axis=1).astype(float), answers(p) == y, 15)),
    ("category", "calibration_error@10",
     lambda y, p: binned(p.max(axis=1).astype(float), answers(p) == y, 10)),
    ("binary", "accuracy@0.3", flat_accuracy),
    ("binary", "balanced_accuracy@0.3",
     lambda y, p: sk.balanced_accuracy_score(y, p[:, 0] > 0.3)),
    ("binary", "precision@0.3", over(sk.precision_score, 0.3)),
    ("binary", "recall@0.3", over(sk.recall_score, 0.3)),
    ("binary", "f1", over(sk.f1_score, 0.5)),
    ("binary", "f1@0.7", over(sk.f1_score, 0.7)),
    ("binary", "auc", of_keras(keras.metrics.AUC)),
    ("binary", "pr_auc", of_keras(lambda: keras.metrics.AUC(curve="PR"))),
    ("binary", "precision_at_recall@0.8",
     of_keras(lambda: keras.metrics.PrecisionAtRecall(0.8))),
    ("binary", "recall_at_precision@0.8",
     of_keras(lambda: keras.metrics.RecallAtPrecision(0.8))),
    ("binary", "threshold_at_precision@0.8", lowest_threshold),
    ("binary", "log_loss", lambda y, p: sk.log_loss(y, p[:, 0].astype(float))),
    ("binary", "calibration_error", lambda y, p: binned(p[:, 0].astype(float), y, 15)),
    ("multi_label", "accuracy@0.3", flat_accuracy),
    ("multi_label", "precision@0.3", over(sk.precision_score, 0.3, **MICRO)),
    ("multi_label", "recall@0.3", over(sk.recall_score, 0.3, **MICRO)),
    ("multi_label", "f1", over(sk.f1_score, 0.5, **MICRO)),
    ("multi_label", "micro_precision", over(sk.precision_score, 0.5, **MICRO)),
    ("multi_label", "micro_recall", over(sk.recall_score, 0.5, **MICRO)),
    ("multi_label", "micro_f1@0.4", over(sk.f1_score, 0.4, **MICRO)),
    ("multi_label", "macro_precision", over(sk.precision_score, 0.5, **MACRO)),
    ("multi_label", "macro_recall", over(sk.recall_score, 0.5, **MACRO)),
    ("multi_label", "macro_f1@0.4", over(sk.f1_score, 0.4, **MACRO)),
    ("multi_label", "auc", of_keras(lambda: keras.metrics.AUC(multi_label=True, num_labels=3))),
    ("multi_label", "pr_auc",
     of_keras(lambda: keras.metrics.AUC(curve="PR", multi_label=True, num_labels=3))),
    ("multi_label", "precision_at_recall@0.8",
     of_keras(lambda: keras.metrics.PrecisionAtRecall(0.8))),
    ("multi_label", "recall_at_precision@0.8",
     of_keras(lambda: keras.metrics.RecallAtPrecision(0.8))),
    ("multi_label", "threshold_at_precision@0.8", lowest_threshold),
    ("multi_label", "log_loss", lambda y, p: np.mean([
        sk.log_loss(y[:, n], p[:, n].astype(float), labels=[0, 1]) for n in range(3)])),
    ("multi_label", "calibration_error",
     lambda y, p: binned(p.reshape(-1).astype(float), y.reshape(-1), 15)),
    ("number", "mean_squared_error", sk.mean_squared_error),
    ("number", "mean_absolute_error", sk.mean_absolute_error),
    ("number", "root_mean_squared_error", sk.root_mean_squared_error),
    ("number", "r2", sk.r2_score),
    ("number", "quantile_loss@0.9", lambda y, p: sk.mean_pinball_loss(y, p, alpha=0.9)),
]  # fmt: skip
NAMED = [f"{kind} {metric}" for kind, metric, _ in ORACLES]


@pytest.mark.parametrize(("kind", "metric", "oracle"), ORACLES, ids=NAMED)
@pytest.mark.parametrize("rows", [40, 700])
def test_a_formula_is_the_independent_one(
    kind: Kind, metric: str, oracle: Oracle, rows: int
) -> None:
    labels, predictions = rows_of(kind, rows)

    found = value_of(measure(kind, metric, labels, predictions), rows)

    assert found == pytest.approx(oracle(labels, predictions), abs=2e-6)


@pytest.mark.parametrize(("kind", "metric", "oracle"), ORACLES, ids=NAMED)
def test_a_row_that_counts_twice_is_a_row_that_stands_there_twice(
    kind: Kind, metric: str, oracle: Oracle
) -> None:
    labels, predictions = rows_of(kind, 60)
    counts = RANDOM.integers(4, size=(2, 60))

    found = measure(kind, metric, labels, predictions)(counts.astype(float))

    for value, count in zip(found, counts, strict=True):
        again = np.repeat(labels, count, axis=0), np.repeat(predictions, count, axis=0)
        assert value == pytest.approx(oracle(*again), abs=2e-6)


@pytest.mark.parametrize(("kind", "metric", "oracle"), ORACLES, ids=NAMED)
def test_totals_of_parts_add_up(kind: Kind, metric: str, oracle: Oracle) -> None:
    labels, predictions = rows_of(kind, 90)
    whole = measure(kind, metric, labels, predictions)

    parts = [
        measure(kind, metric, labels[part], predictions[part]).totals(np.ones(30))
        for part in (slice(0, 30), slice(30, 60), slice(60, 90))
    ]

    assert float(whole.formula.value(sum(parts))) == pytest.approx(value_of(whole, 90), abs=1e-9)


@pytest.mark.parametrize("kind", ["binary", "multi_label"])
def test_thresholds_count_as_in_keras_where_chances_lie_on_them(kind: Kind) -> None:
    labels, predictions = rows_of(kind, 400)
    predictions = (RANDOM.integers(200, size=predictions.shape) / 199).astype("float32")

    for metric, oracle in [(m, o) for k, m, o in ORACLES if k == kind and (
            "auc" in m or "_at_" in m)]:  # fmt: skip
        found = value_of(measure(kind, metric, labels, predictions), 400)
        assert found == pytest.approx(oracle(labels, predictions), abs=2e-6), metric


def test_the_area_under_precision_and_recall_is_near_the_exact_one() -> None:
    labels, chances = rows_of("binary", 2000)

    found = value_of(measure("binary", "pr_auc", labels, chances), 2000)

    assert found == pytest.approx(sk.average_precision_score(labels, chances[:, 0]), abs=0.01)


def test_probabilities_of_0_and_1_cost_what_they_do_in_keras() -> None:
    labels = np.array([1, 0, 1, 0])
    chances = np.array([[1], [0], [0], [1]], "float32")
    oracle = keras.metrics.BinaryCrossentropy()
    oracle.update_state(labels[:, None], chances)

    found = value_of(measure("binary", "log_loss", labels, chances), 4)

    assert found == pytest.approx(float(oracle.result()), rel=1e-5)


@pytest.mark.parametrize("wrong", [0.0, 1.0])
def test_r2_of_labels_that_do_not_vary_is_that_of_scikit_learn(wrong: float) -> None:
    labels = np.full((8, 1), 13.7, "float32")

    found = value_of(measure("number", "r2", labels, labels + np.float32(wrong)), 8)

    assert found == pytest.approx(sk.r2_score(labels, labels + wrong))


def test_r2_of_a_large_mean_has_all_its_digits() -> None:
    labels = (1e4 + RANDOM.normal(size=(500, 1))).astype("float32")
    predictions = labels + RANDOM.normal(size=(500, 1)).astype("float32")

    found = value_of(measure("number", "r2", labels, predictions), 500)

    assert found == pytest.approx(sk.r2_score(labels.astype(float), predictions), abs=1e-5)


def test_no_constant_of_a_grid_beats_the_baseline_of_a_binary_label() -> None:
    labels = (RANDOM.uniform(size=300) < 0.3).astype(int)
    rate = labels.mean()

    assert baseline("binary", "accuracy", labels) == pytest.approx(1 - rate)
    assert baseline("binary", "precision", labels) == pytest.approx(rate)
    assert baseline("binary", "f1", labels) == pytest.approx(2 * rate / (1 + rate))
    assert baseline("binary", "auc", labels) == pytest.approx(0.5)
    grid = [sk.log_loss(labels, np.full(300, chance)) for chance in np.linspace(0.01, 0.99, 99)]
    assert baseline("binary", "log_loss", labels) <= min(grid) + 1e-9
    assert baseline("binary", "recall", labels) is None


def test_the_baseline_of_several_classes_is_the_most_frequent_one() -> None:
    labels = np.repeat([0, 1, 2, 3], [10, 50, 30, 20])

    assert baseline("category", "accuracy", labels) == pytest.approx(50 / 110)
    assert baseline("category", "top_3_accuracy", labels) == pytest.approx(100 / 110)
    assert baseline("category", "balanced_accuracy", labels) == pytest.approx(0.25)
    shares = np.bincount(labels) / 110
    entropy = -np.sum(shares * np.log(shares))
    assert baseline("category", "log_loss", labels) == pytest.approx(entropy, rel=1e-6)


def test_the_baseline_of_numbers_is_their_mean_median_or_quantile() -> None:
    labels = RANDOM.exponential(size=(999, 1)).astype("float32")

    assert baseline("number", "r2", labels) == pytest.approx(0, abs=1e-6)
    assert baseline("number", "mean_squared_error", labels) == pytest.approx(labels.var(), rel=1e-5)
    median = np.abs(labels - np.median(labels)).mean()
    assert baseline("number", "mean_absolute_error", labels) == pytest.approx(median, rel=1e-5)
    quantile = np.quantile(labels, 0.9)
    wanted = sk.mean_pinball_loss(labels, np.full_like(labels, quantile), alpha=0.9)
    assert baseline("number", "quantile_loss@0.9", labels) == pytest.approx(wanted, rel=1e-5)


# Names


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("accuracy", "accuracy"),
        ({"precision": {"threshold": 0.3}}, "precision@0.3"),
        ({"precision": {"threshold": 0.5}}, "precision"),
        ("precision@0.30", "precision@0.3"),
        ({"recall_at_precision": {"precision": 1}}, "recall_at_precision@1"),
        ({"calibration_error": {"bins": 10}}, "calibration_error@10"),
        ({"r2": {}}, "r2"),
    ],
)
def test_a_metric_has_one_name(written: Any, printed: str) -> None:
    assert printed_name(written) == printed
    assert printed_name(printed) == printed


@pytest.mark.parametrize(
    ("written", "problem"),
    [
        ("accurracy", "expected a metric, found 'accurracy'; did you mean 'accuracy'?"),
        ("auc@0.3", "auc takes no parameter: write auc"),
        ({"f1": {"at": 0.3}}, "f1 takes threshold, found at"),
        ({"f1": {"threshold": 1}}, "f1: threshold must be a number above 0 and below 1, found 1"),
        ({"f1": {"threshold": True}}, "f1: threshold must be a number above 0 and below 1, found"),
        ({"calibration_error": {"bins": 2.5}}, "calibration_error: bins must be a whole number"),
        ("quantile_loss", "quantile_loss needs quantile: write {quantile_loss: {quantile: 0.9}}"),
        ("f1@half", "expected a number after 'f1@', found 'half'"),
        (7, "expected the name of a metric, or {name: {parameter: value}}"),
        ({"f1": 0.3}, "expected the name of a metric, or {name: {parameter: value}}"),
    ],
)
def test_a_metric_that_cannot_be_measured_is_refused(written: Any, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(problem)}"):
        printed_name(written)


def test_every_metric_of_the_table_has_an_oracle_here_for_everything_that_it_fits() -> None:
    tested = {(kind, metric.partition("@")[0]) for kind, metric, _ in ORACLES}

    wanted = {(kind, name) for name, known in METRICS.items() for kind in known.formulas}

    assert tested == wanted


@pytest.mark.parametrize(("kind", "metric", "oracle"), ORACLES, ids=NAMED)
def test_better_predictions_move_a_metric_in_its_direction_within_its_range(
    kind: Kind, metric: str, oracle: Oracle
) -> None:
    labels, good = rows_of(kind, 300)
    bad = good[RANDOM.permutation(300)]

    better, worse = (value_of(measure(kind, metric, labels, p), 300) for p in (good, bad))

    # Of these rows, the good predictions of a class are too cautious: they are not calibrated.
    assert "calibration" in metric or (better > worse) == larger_is_better(metric)
    low, high = facts(metric).range
    assert all((low is None or v >= low) and (high is None or v <= high) for v in (better, worse))
