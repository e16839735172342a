"""Metrics as functions of how often each row counts, in NumPy: their values, and how sure they are.

Each value is Keras's. Intervals come from rows drawn anew with replacement, by a seed: TFMA's own
jackknife and bootstrap draw without one. A share of rows has Wilson's interval instead, which
drawing anew cannot give where all of a few rows are right.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeVar

import numpy as np

from tfx_fusion.modules.spec import MultiLabel, NumberLabel, Specification
from tfx_fusion.modules.training.losses import is_binary

THRESHOLDS = 200  # as many as Keras's AUC has
DRAWS = 1000
DRAWN_AT_ONCE = 1 << 22  # rows, of all draws together: 32 MiB

# From how often each row counts, `(draws, rows)`, to a value for each draw, `(draws,)`.
Measure = Callable[[np.ndarray], np.ndarray]
Interval = tuple[float, float]
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Ratio:
    """What the rows have of one thing by what they have of another, `(rows,)`; 0 of none is 0."""

    part: np.ndarray
    whole: np.ndarray
    is_share: bool = False

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        whole = counts @ self.whole
        return np.divide(counts @ self.part, whole, out=np.zeros(len(counts)), where=whole != 0)

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
class Area:
    """The mean of the classes' areas under the ROC, of labels and chances `(rows, classes)`."""

    labels: np.ndarray
    chances: np.ndarray

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        classes = self.labels.shape[1]
        size = 2 * classes * THRESHOLDS
        rank = (self.labels.astype(int) * classes + np.arange(classes)) * THRESHOLDS
        place = (rank + reached(self.chances)).ravel()
        ranks = (np.bincount(place, np.repeat(draw, classes), size) for draw in counts)
        return np.array([area(found.reshape(2, classes, THRESHOLDS)) for found in ranks])


@dataclass(frozen=True)
class Difference:
    """One measure less another, of the same rows."""

    of: Measure
    less: Measure

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        return self.of(counts) - self.less(counts)


def reached(chances: np.ndarray) -> np.ndarray:
    """The last of the thresholds that each chance exceeds; Keras computes in float32 too."""
    ranks = np.ceil(np.float32(chances) * np.float32(THRESHOLDS - 1)).astype(int) - 1
    return np.maximum(ranks, 0)


def area(counts: np.ndarray) -> float:
    """The mean area of counts `(no or yes, classes, threshold reached)`, as Keras has it."""
    # How many noes and yeses lie above each threshold, as a share of all; 0 of none is 0.
    above = np.cumsum(counts[..., ::-1], axis=-1)[..., ::-1]
    false, true = above / np.maximum(above[..., :1], 1)
    heights = (true[:, :-1] + true[:, 1:]) / 2
    areas = np.sum((false[:, :-1] - false[:, 1:]) * heights, axis=1)
    return float(areas.mean())


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
    label = specification.label_of(output)
    wide = len(label.classes) if isinstance(label, MultiLabel) else 1
    labels = labels.reshape(-1, wide)
    if isinstance(label, NumberLabel):
        found = _of_numbers(labels - predictions.reshape(-1, 1))
    elif is_binary(specification, output):
        found = _of_yes_or_no(labels == 1, predictions.reshape(-1, wide))
    else:
        found = _of_classes(labels[:, 0].astype(int), predictions)
    return {name: found[name] for name in specification.outputs[output].metrics}


def _mean(values: np.ndarray, is_share: bool = False) -> Ratio:
    return Ratio(values.astype(float), np.ones(len(values)), is_share)


def _of_numbers(errors: np.ndarray) -> dict[str, Measure]:
    squared = _mean(np.mean(np.square(errors, dtype=float), axis=1))
    return {
        "mean_squared_error": squared,
        "mean_absolute_error": _mean(np.mean(np.abs(errors), axis=1)),
        "root_mean_squared_error": lambda counts: np.sqrt(squared(counts)),
    }


def _of_yes_or_no(true: np.ndarray, chances: np.ndarray) -> dict[str, Measure]:
    given = chances > 0.5
    hits = np.sum(given & true, axis=1).astype(float)
    return {
        "accuracy": _mean(np.mean(given == true, axis=1), is_share=True),
        "precision": Ratio(hits, np.sum(given, axis=1).astype(float), is_share=True),
        "recall": Ratio(hits, np.sum(true, axis=1).astype(float), is_share=True),
        "auc": Area(true, chances),
    }


def _of_classes(true: np.ndarray, chances: np.ndarray) -> dict[str, Measure]:
    of_true = np.take_along_axis(chances, true[:, None], axis=1)
    return {
        "accuracy": _mean(np.argmax(chances, axis=1) == true, is_share=True),
        "top_3_accuracy": _mean(np.sum(chances > of_true, axis=1) < 3, is_share=True),
    }


def values_of(measures: Mapping[Key, Measure], rows: int) -> dict[Key, float]:
    """What measures come to where each row counts once."""
    return {name: float(found(np.ones((1, rows)))[0]) for name, found in measures.items()}


def intervals_of(
    measures: Mapping[Key, Measure], rows: int, confidence: float, seed: int
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
