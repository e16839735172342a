"""Every metric of a specification: its formula by what is predicted, which way is better, and how
its name is written.

A metric with a parameter is written `{precision: {threshold: 0.3}}` and printed `precision@0.3`;
with the parameter's default it has its plain name.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.metrics.formulas import (
    AtConstraint,
    CalibrationError,
    Explained,
    Formula,
    Macro,
    Of,
    UnderPrecisionRecall,
    UnderRoc,
    absolute_error,
    binary_log_loss,
    category_log_loss,
    f1,
    in_first,
    precision,
    quantile_loss,
    recall,
    right_answers,
    right_class,
    squared_error,
)

# What the numbers of an output are: a number, one probability of the second of two classes, one of
# each of several classes that a row may have, or one of each class of which a row has one.
Kind = Literal["number", "binary", "multi_label", "category"]
Make = Callable[[float], Formula]


@dataclass(frozen=True)
class Parameter:
    """What a metric may be given; `low` and `high` are not valid themselves, unless `closed`."""

    name: str
    default: float | None
    low: float = 0.0
    high: float = 1.0
    closed: bool = False
    whole: bool = False

    def problem(self, value: Any) -> str:
        """What is wrong with a value; empty where nothing is."""
        kind = "a whole number" if self.whole else "a number"
        number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = number and self.low < value and (
            value <= self.high if self.closed else value < self.high
        )  # fmt: skip
        if fits and not (self.whole and value != int(value)):
            return ""
        upper = "at most" if self.closed else "below"
        return f"{self.name} must be {kind} above {self.low:g} and {upper} {self.high:g}"


@dataclass(frozen=True)
class MetricFacts:
    """One metric.

    Attributes:
        better: whether a larger or a smaller value is better.
        range: the smallest and the largest value, None where there is none.
        formulas: by what is predicted, from the value of the parameter to the formula.
        parameter: what it may be given.
        has_baseline: whether a constant prediction can be compared: not of a recall, which
            answering yes to all makes 1, nor of a calibration.
    """

    better: Literal["max", "min"]
    range: tuple[float | None, float | None]
    formulas: Mapping[Kind, Make]
    parameter: Parameter | None = None
    has_baseline: bool = True


THRESHOLD = Parameter("threshold", 0.5)
UNIT = (0.0, 1.0)
FROM_ZERO = (0.0, None)


def _alike(make: Make) -> dict[Kind, Make]:
    """Of one probability of yes and of several, by the same formula."""
    return {"binary": make, "multi_label": make}


def _macro(of: Of) -> dict[Kind, Make]:
    return {"category": lambda _: Macro(of), "multi_label": lambda limit: Macro(of, limit)}


def _micro(make: Make) -> dict[Kind, Make]:
    # Of one class a row, a false answer is both a false yes and a false no.
    return {"category": lambda _: right_class(), "multi_label": make}


METRICS: dict[str, MetricFacts] = {
    "accuracy": MetricFacts(
        "max", UNIT, {"category": lambda _: right_class(), **_alike(right_answers)}, THRESHOLD
    ),
    "balanced_accuracy": MetricFacts(
        "max", UNIT,
        {
            "category": lambda _: Macro("recall of present"),
            "binary": lambda limit: Macro("recall of present", limit, two_classes=True),
        },
        THRESHOLD,
    ),
    "top_3_accuracy": MetricFacts("max", UNIT, {"category": lambda _: in_first(3)}),
    "precision": MetricFacts("max", UNIT, _alike(precision), THRESHOLD),
    "recall": MetricFacts("max", UNIT, _alike(recall), THRESHOLD, has_baseline=False),
    "f1": MetricFacts("max", UNIT, _alike(f1), THRESHOLD),
    "macro_precision": MetricFacts("max", UNIT, _macro("precision"), THRESHOLD),
    "macro_recall": MetricFacts("max", UNIT, _macro("recall"), THRESHOLD, has_baseline=False),
    "macro_f1": MetricFacts("max", UNIT, _macro("f1"), THRESHOLD),
    "micro_precision": MetricFacts("max", UNIT, _micro(precision), THRESHOLD),
    "micro_recall": MetricFacts("max", UNIT, _micro(recall), THRESHOLD, has_baseline=False),
    "micro_f1": MetricFacts("max", UNIT, _micro(f1), THRESHOLD),
    "auc": MetricFacts("max", UNIT, _alike(lambda _: UnderRoc())),
    "pr_auc": MetricFacts("max", UNIT, _alike(lambda _: UnderPrecisionRecall())),
    "precision_at_recall": MetricFacts(
        "max", UNIT, _alike(lambda limit: AtConstraint(wanted="precision", limit=limit)),
        Parameter("recall", None, closed=True),
    ),
    "recall_at_precision": MetricFacts(
        "max", UNIT, _alike(lambda limit: AtConstraint(wanted="recall", limit=limit)),
        Parameter("precision", None, closed=True), has_baseline=False,
    ),
    "threshold_at_precision": MetricFacts(
        "min", UNIT, _alike(lambda limit: AtConstraint(wanted="threshold", limit=limit)),
        Parameter("precision", None, closed=True), has_baseline=False,
    ),
    "log_loss": MetricFacts(
        "min", FROM_ZERO,
        {"category": lambda _: category_log_loss(), **_alike(lambda _: binary_log_loss())},
    ),
    "calibration_error": MetricFacts(
        "min", UNIT,
        {
            "category": lambda bins: CalibrationError(int(bins), of_classes=True),
            **_alike(lambda bins: CalibrationError(int(bins))),
        },
        Parameter("bins", 15, high=1000, closed=True, whole=True), has_baseline=False,
    ),
    "mean_squared_error": MetricFacts("min", FROM_ZERO, {"number": lambda _: squared_error()}),
    "mean_absolute_error": MetricFacts("min", FROM_ZERO, {"number": lambda _: absolute_error()}),
    "root_mean_squared_error": MetricFacts(
        "min", FROM_ZERO, {"number": lambda _: squared_error(root=True)}
    ),
    "r2": MetricFacts("max", (None, 1.0), {"number": lambda _: Explained()}),
    "quantile_loss": MetricFacts(
        "min", FROM_ZERO, {"number": quantile_loss}, Parameter("quantile", None)
    ),
}  # fmt: skip


def split(metric: str) -> tuple[str, float]:
    """A printed name as the name in the table and the value of its parameter."""
    name, _, value = metric.partition("@")
    parameter = METRICS[name].parameter
    return name, float(value) if value else (parameter.default or 0.0 if parameter else 0.0)


def facts(metric: str) -> MetricFacts:
    """A metric of the table by its printed name."""
    return METRICS[metric.partition("@")[0]]


def larger_is_better(metric: str) -> bool:
    """Whether a larger value of a metric, by its printed name, is better."""
    return facts(metric).better == "max"


def formula(kind: Kind, metric: str) -> Formula:
    """The formula of a metric, by its printed name, for what is predicted."""
    name, value = split(metric)
    return METRICS[name].formulas[kind](value)


def printed_name(value: Any) -> str:
    """The one name of a metric, from `name`, `name@value` or `{name: {parameter: value}}`.

    Raises ValueError where there is no such metric, or its parameter is missing or invalid.
    """
    options: Any = {}
    if isinstance(value, Mapping) and len(value) == 1:
        [(value, options)] = value.items()
    if not isinstance(value, str) or not isinstance(options, Mapping):
        raise ValueError("expected the name of a metric, or {name: {parameter: value}}")
    name, at, text = value.partition("@")
    if name not in METRICS:
        raise ValueError(f"expected a metric, found '{name}'; {suggestion(name, METRICS)}")
    parameter = METRICS[name].parameter
    if parameter is None:
        if at or options:
            raise ValueError(f"{name} takes no parameter: write {name}")
        return name
    if at:
        try:
            options = {parameter.name: float(text)}
        except ValueError:
            raise ValueError(f"expected a number after '{name}@', found '{text}'") from None
    unknown = [key for key in options if key != parameter.name]
    if unknown:
        raise ValueError(f"{name} takes {parameter.name}, found {unknown[0]}")
    given = options.get(parameter.name, parameter.default)
    if given is None:
        raise ValueError(
            f"{name} needs {parameter.name}: write {{{name}: {{{parameter.name}: 0.9}}}}"
        )
    problem = parameter.problem(given)
    if problem:
        raise ValueError(f"{name}: {problem}, found {given}")
    return name if given == parameter.default else f"{name}@{given:.12g}"


def as_rows(
    kind: Kind, labels: np.ndarray, predictions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as formulas take them.

    Args:
        kind: what is predicted.
        labels: `(rows,)` or `(rows, 1)` class indices or numbers, `(rows, classes)` noes and yeses.
        predictions: `(rows, …)` as the fused model gives them.
    """
    rows = len(predictions)
    predictions = predictions.reshape(rows, -1)
    if kind == "category":
        return labels.reshape(rows).astype(int), predictions
    return labels.reshape(rows, -1), predictions


def baseline(kind: Kind, metric: str, labels: np.ndarray) -> float | None:
    """The best value of a metric that a constant prediction reaches; None where none compares.

    The constants are the classes' frequencies, or all noes or all yeses; of numbers the mean, the
    median and the metric's quantile.

    Args:
        kind: what is predicted.
        metric: its printed name.
        labels: as formulas take them, or `(rows, 1)` class indices.
    """
    known = facts(metric)
    if not known.has_baseline or not len(labels):
        return None
    given = formula(kind, metric)
    values = []
    for constant in _constants(kind, metric, labels):
        predictions = np.tile(np.asarray(constant, "float32"), (len(labels), 1))
        prepared = given.prepare(*as_rows(kind, labels, predictions))
        values.append(float(given.value(given.totals(prepared, np.ones(len(labels))))))
    return max(values) if known.better == "max" else min(values)


def _constants(kind: Kind, metric: str, labels: np.ndarray) -> Iterator[np.ndarray]:
    if kind == "category":
        classes = labels.reshape(-1).astype(int)
        yield np.bincount(classes) / len(classes)
    elif kind == "number":
        yield np.mean(labels, dtype=float, keepdims=True).reshape(1)
        quantile = split(metric)[1] or 0.5
        yield np.quantile(labels.astype(float), [quantile])
    else:
        frequencies = labels.reshape(len(labels), -1).mean(axis=0)
        yield from (frequencies, np.zeros_like(frequencies), np.ones_like(frequencies))
