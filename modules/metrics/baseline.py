"""What a prediction that is the same for every row reaches: the least that a model must beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tfx_fusion.modules.metrics.table import Kind, as_rows, facts, formula, split


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
