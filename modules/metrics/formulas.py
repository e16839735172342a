"""The formulas of metrics, in NumPy: what each row adds to totals, and their value.

Totals can be summed over parts of the rows before the value is taken. Training sums them by batch,
TFMA by bundle, intervals by how often each row is drawn: all three have their values from here.

Labels are class indices `(rows,)` with probabilities `(rows, classes)`, or noes and yeses
`(rows, classes)` with the probability of each yes, or numbers `(rows, 1)` with predicted ones.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

THRESHOLDS = 200  # as many as Keras's AUC has
EPSILON = np.float32(1e-7)  # Keras's: how near to 0 and 1 a probability may come in a logarithm

Interval = tuple[float, float]
Rows = np.ndarray


class Formula(ABC):
    """A metric as a function of how often each row counts."""

    @abstractmethod
    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        """What the formula needs of some rows."""

    @abstractmethod
    def totals(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        """The sum of what the rows add, by how often each counts, `(rows,)`."""

    @abstractmethod
    def value(self, totals: np.ndarray) -> Any:
        """The metric where the rows add up to that."""

    def of_draws(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        """The metric for each draw `(draws,)`, of how often each row counts, `(draws, rows)`."""
        # One draw at a time: the totals of all would take hundreds of numbers a draw.
        return np.array([float(self.value(self.totals(prepared, draw))) for draw in counts])


class Linear(Formula):
    """Each row adds a vector, `(rows, size)`; the value is of totals `(…, size)`."""

    def totals(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        return counts @ prepared

    def of_draws(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        return self.value(counts @ prepared)


def divide(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """A ratio; 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(np.shape(part)), where=whole != 0)


@dataclass(frozen=True)
class Ratio(Linear):
    """What the rows have of one thing by what they have of another; 0 of none is 0.

    `parts` gives both, `(rows,)` each. A share is of rows that have or lack the one thing.
    """

    parts: Callable[[Rows, Rows], tuple[Rows, Rows]]
    is_share: bool = False
    root: bool = False

    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        return np.stack(self.parts(labels, predictions), axis=-1).astype(float)

    def value(self, totals: np.ndarray) -> np.ndarray:
        ratio = divide(totals[..., 0], totals[..., 1])
        return np.sqrt(ratio) if self.root else ratio

    def wilson(self, prepared: np.ndarray, confidence: float) -> Interval | None:
        """Wilson's interval, where each row has or lacks the one thing; None elsewhere.

        E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
        """
        if not (self.is_share and np.isin(prepared, (0, 1)).all()):
            return None
        found, rows = prepared.sum(axis=0)
        if not rows:
            return 0.0, 1.0
        share = float(found / rows)
        z = NormalDist().inv_cdf((1 + confidence) / 2)
        middle = (share + z * z / (2 * rows)) / (1 + z * z / rows)
        spread = share * (1 - share) / rows + z * z / (4 * rows * rows)
        reach = z * spread**0.5 / (1 + z * z / rows)
        # But for rounding, the share lies in between, and both ends between 0 and 1.
        low, high = max(min(middle - reach, share), 0.0), min(max(middle + reach, share), 1.0)
        return float(low), float(high)


def mean_of(of_row: Callable[[Rows, Rows], Rows], **options: bool) -> Ratio:
    """The mean over rows of a value `(rows,)`."""

    def parts(labels: Rows, predictions: Rows) -> tuple[Rows, Rows]:
        values = of_row(labels, predictions)
        return values, np.ones(len(values))

    return Ratio(parts, **options)


# Of numbers


def _errors(labels: Rows, predictions: Rows) -> Rows:
    return np.subtract(labels, predictions, dtype=float)


def squared_error(root: bool = False) -> Ratio:
    """The mean squared error, or its root."""
    return mean_of(lambda y, p: np.mean(np.square(_errors(y, p)), axis=1), root=root)


def absolute_error() -> Ratio:
    """The mean absolute error."""
    return mean_of(lambda y, p: np.mean(np.abs(_errors(y, p)), axis=1))


def quantile_loss(quantile: float) -> Ratio:
    """The pinball loss: what is too low costs `quantile`, what is too high the rest of 1."""

    def of_row(labels: Rows, predictions: Rows) -> Rows:
        errors = _errors(labels, predictions)
        return np.mean(np.maximum(quantile * errors, (quantile - 1) * errors), axis=1)

    return mean_of(of_row)


class Explained(Linear):
    """R²: 1 less the squared errors by those of the labels' mean.

    Of labels that do not vary it is 1 where all predictions are right and else 0, as in
    scikit-learn.
    """

    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        y, errors = labels[:, 0].astype(float), _errors(labels, predictions)[:, 0]
        return np.stack([np.ones(len(y)), y, y * y, errors * errors], axis=-1)

    def value(self, totals: np.ndarray) -> np.ndarray:
        rows, label, squares, errors = np.moveaxis(totals, -1, 0)
        spread = squares - divide(label * label, rows)
        varies = spread > 1e-12 * squares
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(varies, 1 - errors / spread, np.where(errors > 0, 0.0, 1.0))


# Of classes


def right_class() -> Ratio:
    """The share of rows whose most probable class is the true one."""
    return mean_of(lambda true, chances: np.argmax(chances, axis=1) == true, is_share=True)


def in_first(places: int) -> Ratio:
    """The share of rows where fewer classes than `places` are more probable than the true one."""

    def of_row(true: Rows, chances: Rows) -> Rows:
        of_true = np.take_along_axis(chances, true[:, None], axis=1)
        return np.sum(chances > of_true, axis=1) < places

    return mean_of(of_row, is_share=True)


def category_log_loss() -> Ratio:
    """The mean of −log of the true class's probability."""

    def of_row(true: Rows, chances: Rows) -> Rows:
        clipped = np.clip(np.float32(chances), EPSILON, 1 - EPSILON).astype(float)
        of_true = np.take_along_axis(clipped, true[:, None], axis=1)[:, 0]
        return np.log(clipped.sum(axis=1)) - np.log(of_true)

    return mean_of(of_row)


def binary_log_loss() -> Ratio:
    """The mean of −log of the probability of what is true, over all noes and yeses."""

    def of_row(true: Rows, chances: Rows) -> Rows:
        clipped = np.clip(np.float32(chances), EPSILON, 1 - EPSILON)
        of_true = np.where(true == 1, clipped, 1 - clipped).astype(float)
        return -np.mean(np.log(of_true), axis=1)

    return mean_of(of_row)


def right_answers(threshold: float) -> Ratio:
    """The share of noes and yeses that are right, where a chance over the threshold is a yes."""
    return mean_of(
        lambda true, chances: np.mean((chances > threshold) == (true == 1), axis=1), is_share=True
    )


def _of_yeses(
    threshold: float, parts: Callable[[Rows, Rows, Rows], tuple[Rows, Rows]], is_share: bool = True
) -> Ratio:
    """A ratio of a row's counts of hits, of true and of given yeses, `(rows,)` each."""

    def counted(labels: Rows, chances: Rows) -> tuple[Rows, Rows]:
        true, said = labels == 1, chances > threshold
        return parts(*(np.sum(yeses, axis=1) for yeses in (true & said, true, said)))

    return Ratio(counted, is_share)


def precision(threshold: float) -> Ratio:
    """The share of the given yeses that are true; all classes count alike."""
    return _of_yeses(threshold, lambda hits, true, said: (hits, said))


def recall(threshold: float) -> Ratio:
    """The share of the true yeses that are given; all classes count alike."""
    return _of_yeses(threshold, lambda hits, true, said: (hits, true))


def f1(threshold: float) -> Ratio:
    """The harmonic mean of precision and recall; all classes count alike."""
    return _of_yeses(threshold, lambda hits, true, said: (2 * hits, true + said), is_share=False)


Of = Literal["precision", "recall", "f1", "recall of present"]


@dataclass(frozen=True)
class Macro(Formula):
    """The mean over classes of the precision, recall or F1 of each; one of no rows has 0.

    Of `recall of present`, the balanced accuracy, only classes that some row has count. A
    probability over the threshold is a yes; without one the most probable class is the answer.
    """

    of: Of
    threshold: float | None = None
    # Whether a single probability is of the second of two classes, both of which count.
    two_classes: bool = False

    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        if self.threshold is None:
            return labels, np.argmax(predictions, axis=1), predictions.shape[1]
        true, said = labels == 1, predictions > self.threshold
        if self.two_classes:
            return true[:, 0].astype(int), said[:, 0].astype(int), 2
        return np.concatenate([true & said, true, said], axis=1).astype(float)

    def totals(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        if isinstance(prepared, np.ndarray):
            return (counts @ prepared).reshape(3, -1)
        true, said, classes = prepared
        hits = np.bincount(true, counts * (true == said), classes)
        return np.stack([hits, np.bincount(true, counts, classes),
                         np.bincount(said, counts, classes)])  # fmt: skip

    def value(self, totals: np.ndarray) -> float:
        hits, true, said = totals
        if self.of == "recall of present":
            present = true > 0
            return float(np.mean(hits[present] / true[present])) if present.any() else 0.0
        parts = {
            "precision": (hits, said), "recall": (hits, true), "f1": (2 * hits, true + said),
        }[self.of]  # fmt: skip
        return float(np.mean(divide(*parts)))


# By thresholds


@dataclass(frozen=True)
class ByThreshold(Formula):
    """Counts by class and by the number of thresholds reached, `(no or yes, classes, reached)`."""

    by_class: bool = True

    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        classes = labels.shape[1] if self.by_class else 1
        kind = (labels == 1).astype(int) * classes + np.arange(classes)
        # How many of Keras's thresholds each exceeds; Keras computes in float32 too.
        reached = np.ceil(np.float32(predictions) * np.float32(THRESHOLDS - 1)).astype(int)
        return kind * (THRESHOLDS + 1) + np.clip(reached, 0, THRESHOLDS), classes

    def totals(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        place, classes = prepared
        size = 2 * classes * (THRESHOLDS + 1)
        found = np.bincount(place.ravel(), np.repeat(counts, place.shape[1]), size)
        return found.reshape(2, classes, THRESHOLDS + 1)

    @staticmethod
    def above(totals: np.ndarray) -> np.ndarray:
        """How many noes and yeses lie above each threshold, `(2, classes, THRESHOLDS)`."""
        return np.cumsum(totals[..., :0:-1], axis=-1)[..., ::-1]


class Area(ByThreshold):
    """The mean of the classes' areas under a curve, as Keras sums them from 200 thresholds."""

    def above(self, totals: np.ndarray) -> np.ndarray:  # type: ignore[override]
        # The lowest threshold of Keras's AUC lies below 0: every chance exceeds it.
        totals = np.concatenate(
            [totals[..., :1], totals[..., :1] + totals[..., 1:2], totals[..., 2:]], axis=-1
        )
        return super().above(totals)


class UnderRoc(Area):
    """The area under the curve of true by false positives."""

    def value(self, totals: np.ndarray) -> float:
        above = self.above(totals)
        false, true = above / np.maximum(above[..., :1], 1e-300)
        heights = (true[:, :-1] + true[:, 1:]) / 2
        return float(np.sum((false[:, :-1] - false[:, 1:]) * heights, axis=1).mean())


class UnderPrecisionRecall(Area):
    """The area under the curve of precision by recall.

    Between thresholds the precision is interpolated by the true positives: J. Davis and M.
    Goadrich, The relationship between precision-recall and ROC curves (2006).
    """

    def value(self, totals: np.ndarray) -> float:
        false, true = self.above(totals)
        said = false + true
        gained, said_more = true[:, :-1] - true[:, 1:], said[:, :-1] - said[:, 1:]
        slope = divide(gained, said_more)
        offset = true[:, 1:] - slope * said[:, 1:]
        both = (said[:, :-1] > 0) & (said[:, 1:] > 0)
        ratio = np.where(both, said[:, :-1] / np.where(both, said[:, 1:], 1), 1.0)
        pieces = slope * (gained + offset * np.log(ratio))
        return float(np.sum(divide(pieces, np.broadcast_to(true[:, :1], pieces.shape)), 1).mean())


@dataclass(frozen=True)
class AtConstraint(ByThreshold):
    """The best precision where the recall is at least a limit, or the other way round.

    `threshold` is the lowest threshold at which the precision is at least the limit, 1 where there
    is none. All classes count alike.
    """

    by_class: bool = False
    wanted: Literal["precision", "recall", "threshold"] = "precision"
    limit: float = 0.5

    def value(self, totals: np.ndarray) -> float:
        [false], [true] = self.above(totals)
        precisions = divide(true, true + false)
        recalls = divide(true, np.full(THRESHOLDS, totals[1].sum()))
        both = (recalls, precisions)
        constrained, found = both if self.wanted == "precision" else reversed(both)
        # float32, as Keras compares them.
        feasible = np.float32(constrained) >= np.float32(self.limit)
        if self.wanted == "threshold":
            return float(np.argmax(feasible) / (THRESHOLDS - 1)) if feasible.any() else 1.0
        return float(found[feasible].max()) if feasible.any() else 0.0


@dataclass(frozen=True)
class CalibrationError(Formula):
    """The expected calibration error: how far confidence and truth differ, in bins of confidence.

    Bins are of equal width, each with its upper end; they weigh by their rows. The confidence is
    the largest probability and the truth whether that class is right, or of noes and yeses the
    probability of yes and whether it is one. C. Guo et al., On calibration of modern neural
    networks (2017).
    """

    bins: int
    of_classes: bool = False

    def prepare(self, labels: Rows, predictions: Rows) -> Any:
        if self.of_classes:
            right = (np.argmax(predictions, axis=1) == labels)[:, None]
            confidence = np.max(predictions, axis=1, keepdims=True)
        else:
            right, confidence = labels == 1, predictions
        confidence = confidence.astype(float)
        place = np.clip(np.ceil(confidence * self.bins) - 1, 0, self.bins - 1).astype(int)
        return place, confidence, right.astype(float)

    def totals(self, prepared: Any, counts: np.ndarray) -> np.ndarray:
        place, confidence, right = prepared
        each = np.repeat(counts, place.shape[1]).reshape(place.shape)
        weights = (each, each * confidence, each * right)
        return np.stack([np.bincount(place.ravel(), w.ravel(), self.bins) for w in weights])

    def value(self, totals: np.ndarray) -> float:
        rows, confidence, right = totals
        return float(np.abs(confidence - right).sum() / max(rows.sum(), 1e-300))
