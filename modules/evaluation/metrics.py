"""Metrics of evaluated rows, with intervals: the ablation and the intervals take them from here.

A metric of some rows is a function of how often each row counts, by the formulas of
`modules.metrics`. Where each counts once, that is the value, which is Keras's. TFMA sums what the
rows of a slice add to it (`tfma_config`), intervals count rows as often as they are drawn. They are
drawn with replacement, by a seed: TFMA's own jackknife and bootstrap draw without one. A share of
rows has Wilson's interval instead, which drawing cannot give where all of a few rows are right.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from tfx_fusion.modules.metrics.formulas import Formula, Interval, Ratio
from tfx_fusion.modules.metrics.table import Kind, as_rows, formula
from tfx_fusion.modules.spec.evaluated import Evaluated

DRAWS = 1000
DRAWN_AT_ONCE = 1 << 22  # rows, of all draws together: 32 MiB

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Measure:
    """A metric of some rows."""

    formula: Formula
    prepared: Any

    def totals(self, counts: np.ndarray) -> np.ndarray:
        """The sum of what the rows add, by how often each counts, `(rows,)`."""
        return self.formula.totals(self.prepared, counts)

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        """The metric for each draw `(draws,)`, of how often each row counts, `(draws, rows)`."""
        return self.formula.of_draws(self.prepared, counts)

    def wilson(self, confidence: float) -> Interval | None:
        """Wilson's interval of a share of rows; None of another metric."""
        if isinstance(self.formula, Ratio):
            return self.formula.wilson(self.prepared, confidence)
        return None


@dataclass(frozen=True)
class Difference:
    """One measure less another, of the same rows."""

    of: Measure
    less: Measure

    def __call__(self, counts: np.ndarray) -> np.ndarray:
        return self.of(counts) - self.less(counts)


# From how often each row counts, `(draws, rows)`, to a value for each draw, `(draws,)`.
Counted = Callable[[np.ndarray], np.ndarray]


def measures_of(
    specification: Evaluated, output: str, labels: np.ndarray, predictions: np.ndarray
) -> dict[str, Measure]:
    """The metrics of an output as measures of some rows.

    Args:
        specification: says which metrics, and of what kind of label.
        output: its name.
        labels: `(rows, classes)` of several of them, else one a row.
        predictions: `(rows, …)` as the fused model gives them.
    """
    kind = specification.kind_of(output)
    return {
        name: measure(kind, name, labels, predictions)
        for name in specification.outputs[output].metrics
    }


def measure(kind: Kind, metric: str, labels: np.ndarray, predictions: np.ndarray) -> Measure:
    """A metric of some rows, by its printed name; labels and predictions as in `as_rows`."""
    found = formula(kind, metric)
    return Measure(found, found.prepare(*as_rows(kind, labels, predictions)))


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
        share = found.wilson(confidence) if isinstance(found, Measure) else None
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
