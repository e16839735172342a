"""Every metric, once: TFMA, the intervals and the ablation all take a metric's value from here.

A metric of some rows is a function of how often each row counts. Where each counts once, that is
the value, which is Keras's. TFMA sums what the rows of a slice add to it (`tfma_config`), intervals
count rows as often as they are drawn. They are drawn with replacement, by a seed: TFMA's own
jackknife and bootstrap draw without one. A share of rows has Wilson's interval instead, which
drawing cannot give where all of a few rows are right.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeVar

import numpy as np

from tfx_fusion.modules.evaluation.quality import Interval
from tfx_fusion.modules.spec import NumberLabel, Specification
from tfx_fusion.modules.training.losses import is_binary

THRESHOLDS = 200  # as many as Keras's AUC has
DRAWS = 1000
DRAWN_AT_ONCE = 1 << 22  # rows, of all draws together: 32 MiB

Key = TypeVar("Key", bound=Hashable)
# What the numbers of an output are: a number, the probability of a yes, or one of each class.
Kind = Literal["number", "binary", "category"]


class Measure(ABC):
    """A metric of some rows. What the rows add to it can be summed before its value is taken."""

    @abstractmethod
    def totals(self, counts: np.ndarray) -> np.ndarray:
        """The sum of what the rows add, `(…)`, by how often each counts, `(rows,)`."""

    @staticmethod
    @abstractmethod
    def value(totals: np.ndarray) -> Any:
        """The metric where the rows add up to that."""

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """The metric for each draw `(draws,)`, of how often each row counts, `(draws, rows)`."""
        return self.value(self.totals(counts))


@dataclass(frozen=True)
class Ratio(Measure):
    """What the rows have of one thing by what they have of another, `(rows,)`; 0 of none is 0.

    Totals are `(…, 2)`, of counts `(…, rows)`.
    """

    part: np.ndarray
    whole: np.ndarray
    is_share: bool = False

    def totals(self, counts: np.ndarray) -> np.ndarray:
        return np.stack([counts @ self.part, counts @ self.whole], axis=-1)

    @staticmethod
    def value(totals: np.ndarray) -> np.ndarray:
        part, whole = totals[..., 0], totals[..., 1]
        return np.divide(part, whole, out=np.zeros_like(part), where=whole != 0)

    def wilson(self, confidence: float) -> Interval | None:
        """Wilson's interval, where each row has or lacks the one thing; None elsewhere.

        E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
        """
        one_each = np.isin(self.part, (0, 1)).all() and np.isin(self.whole, (0, 1)).all()
        if not (self.is_share and one_each):
            return None
        rows = float(self.whole.sum())
        if not rows:
            return 0.0, 1.0
        share = float(self.part.sum()) / rows
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
        spread = share * (1 - share) / rows + z * z / (4 * rows * rows)
        reach = z * spread**0.5 / (1 + z * z / rows)
        # But for rounding, the share lies in between, and both ends between 0 and 1.
        return max(min(middle - reach, share), 0.0), min(max(middle + reach, share), 1.0)


@dataclass(frozen=True)
class RootRatio(Measure):
    """The square root of a ratio."""

    of: Ratio

    def totals(self, counts: np.ndarray) -> np.ndarray:
        return self.of.totals(counts)

    @staticmethod
    def value(totals: np.ndarray) -> np.ndarray:
        return np.sqrt(Ratio.value(totals))


@dataclass(frozen=True)
class Area(Measure):
    """The mean of the classes' areas under the ROC, of labels and chances `(rows, classes)`.

    Totals count by class and by the threshold reached: `(no or yes, classes, THRESHOLDS)`.
    """

    labels: np.ndarray
    chances: np.ndarray

    def totals(self, counts: np.ndarray) -> np.ndarray:
        classes = self.labels.shape[1]
        rank = (self.labels.astype(int) * classes + np.arange(classes)) * THRESHOLDS
        place = (rank + reached(self.chances)).ravel()
        found = np.bincount(place, np.repeat(counts, classes), 2 * classes * THRESHOLDS)
        return found.reshape(2, classes, THRESHOLDS)

    @staticmethod
    def value(totals: np.ndarray) -> float:
        # How many noes and yeses lie above each threshold, as a share of all; 0 of none is 0.
        above = np.cumsum(totals[..., ::-1], axis=-1)[..., ::-1]
        false, true = above / np.maximum(above[..., :1], 1)
        heights = (true[:, :-1] + true[:, 1:]) / 2
        areas = np.sum((false[:, :-1] - false[:, 1:]) * heights, axis=1)
        return float(areas.mean())

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        # One draw at a time: the totals of all would take 400 numbers a class and draw.
        return np.array([self.value(self.totals(draw)) for draw in counts])


@dataclass(frozen=True)
class Difference:
    """One measure less another, of the same rows."""

    of: Measure
    less: Measure

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        return self.of(counts) - self.less(counts)


# From how often each row counts, `(draws, rows)`, to a value for each draw, `(draws,)`.
Counted = Callable[[np.ndarray], np.ndarray]


def reached(chances: np.ndarray) -> np.ndarray:
    """The last of the thresholds that each chance exceeds; Keras computes in float32 too."""
    ranks = np.ceil(np.float32(chances) * np.float32(THRESHOLDS - 1)).astype(int) - 1
    return np.maximum(ranks, 0)


def kind_of(specification: Specification, output: str) -> Kind:
    """What the numbers of an output are, on which the formula of a metric depends."""
    if isinstance(specification.label_of(output), NumberLabel):
        return "number"
    return "binary" if is_binary(specification, output) else "category"


def measures_of(
    specification: Specification, output: str, labels: np.ndarray, predictions: np.ndarray
) -> dict[str, Measure]:
    """The metrics of an output as measures of some rows.

    Args:
        specification: says which metrics, and of what kind of label.
        output: its name.
        labels: as the loss takes them: `(rows, classes)` of several of them, else one a row.
        predictions: `(rows, …)` as the fused model gives them.
    """
    kind = kind_of(specification, output)
    return {
        name: measure(kind, name, labels, predictions)
        for name in specification.outputs[output].metrics
    }


def measure(kind: Kind, metric: str, labels: np.ndarray, predictions: np.ndarray) -> Measure:
    """A metric of some rows.

    Args:
        kind: what the predictions are.
        metric: its name in a specification.
        labels: `(rows,)` or `(rows, 1)` class indices of a category or numbers, `(rows, classes)`
            noes and yeses.
        predictions: `(rows, 1)` numbers, `(rows, classes)` probabilities.
    """
    rows = len(predictions)
    if kind == "category":
        return CATEGORY[metric](labels.reshape(rows).astype(int), predictions)
    labels, predictions = labels.reshape(rows, -1), predictions.reshape(rows, -1)
    if kind == "number":
        return NUMBER[metric](labels - predictions)
    return BINARY[metric](labels == 1, predictions)


def _mean(values: np.ndarray, is_share: bool = False) -> Ratio:
    return Ratio(values.astype(float), np.ones(len(values)), is_share)


def _squared(errors: np.ndarray) -> Ratio:
    return _mean(np.mean(np.square(errors, dtype=float), axis=1))


# Of errors `(rows, 1)`.
NUMBER: dict[str, Callable[[np.ndarray], Measure]] = {
    "mean_squared_error": _squared,
    "mean_absolute_error": lambda errors: _mean(np.mean(np.abs(errors), axis=1)),
    "root_mean_squared_error": lambda errors: RootRatio(_squared(errors)),
}


def _hits(true: np.ndarray, chances: np.ndarray, of: np.ndarray) -> Ratio:
    """The share of some yeses `(rows, classes)` that are given and true."""
    hits = np.sum((chances > 0.5) & true, axis=1).astype(float)
    return Ratio(hits, np.sum(of, axis=1).astype(float), is_share=True)


# Of yeses and of the chances given to them, `(rows, classes)`.
BINARY: dict[str, Callable[[np.ndarray, np.ndarray], Measure]] = {
    "accuracy": lambda true, chances: _mean(
        np.mean((chances > 0.5) == true, axis=1), is_share=True
    ),
    "precision": lambda true, chances: _hits(true, chances, chances > 0.5),
    "recall": lambda true, chances: _hits(true, chances, true),
    "auc": Area,
}


def _in_first(true: np.ndarray, chances: np.ndarray, places: int) -> Ratio:
    """Whether fewer classes than `places` are more probable than the true one."""
    of_true = np.take_along_axis(chances, true[:, None], axis=1)
    return _mean(np.sum(chances > of_true, axis=1) < places, is_share=True)


# Of class indices `(rows,)` and probabilities `(rows, classes)`.
CATEGORY: dict[str, Callable[[np.ndarray, np.ndarray], Measure]] = {
    "accuracy": lambda true, chances: _mean(np.argmax(chances, axis=1) == true, is_share=True),
    "top_3_accuracy": lambda true, chances: _in_first(true, chances, 3),
}


def values_of(measures: Mapping[Key, Counted], rows: int) -> dict[Key, float]:
    """The value of each measure where each row counts once."""
    return {name: float(found(np.ones((1, rows)))[0]) for name, found in measures.items()}


def intervals_of(
    measures: Mapping[Key, Counted], rows: int, confidence: float, seed: int
) -> dict[Key, Interval]:
    """The interval of each measure at a confidence; all of them see the same rows drawn."""
    drawn: dict[Key, list[np.ndarray]] = {name: [] for name in measures}
    for counts in _drawn(rows, seed):
        for name, found in measures.items():
            drawn[name].append(found(counts))
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    intervals = {}
    for name, found in measures.items():
        low, high = np.quantile(np.concatenate(drawn[name]), ends)
        share = found.wilson(confidence) if isinstance(found, Ratio) else None
        intervals[name] = share or (float(low), float(high))
    return intervals


def _drawn(rows: int, seed: int) -> Iterator[np.ndarray]:
    """How often each row counts in each draw, some draws `(draws, rows)` at a time."""
    random = np.random.default_rng(seed)
    at_once = max(DRAWN_AT_ONCE // rows, 1)
    for done in range(0, DRAWS, at_once):
        draws = range(min(at_once, DRAWS - done))
        yield np.stack(
            [np.bincount(random.integers(rows, size=rows), minlength=rows) for _ in draws]
        ).astype(float)
