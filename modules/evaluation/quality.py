"""What a model came to on the evaluation split, slice by slice, and which bounds it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from operator import ge, le
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Bounds, Specification
from tfx_fusion.modules.spec.base import Part

if TYPE_CHECKING:  # a run's record holds a Quality, and is read without TensorFlow
    from tfx_fusion.modules.evaluation.rows import Intervals, Slice

QUALITY_FILE = "quality.json"
Interval = tuple[float, float]


class Bound(Part):
    """A bound in a few words; `kept` is None where it was passed over, for want of a champion."""

    says: str
    kept: bool | None


class Line(Part):
    """A metric of an output in a slice; none is the whole split. What cannot be computed is None.

    `of` says of which model where it is not the candidate.
    """

    output: str
    metric: str
    of: str = ""
    slice: dict[str, str] = {}
    rows: int
    value: float | None
    interval: Interval | None = None
    champion: float | None = None
    change: float | None = None
    change_interval: Interval | None = None
    bounds: tuple[Bound, ...] = ()

    @property
    def where(self) -> str:
        """The slice in words."""
        return ", ".join(f"{name} {value or 'missing'}" for name, value in self.slice.items())


class Quality(Part):
    """All lines, and in words each bound that was missed, or passed over."""

    confidence: float | None = None
    lines: tuple[Line, ...]
    missed: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()

    @property
    def is_bounded(self) -> bool:
        """Whether anything was asked of the model."""
        return bool(self.missed) or any(line.bounds for line in self.lines)

    def overall(self) -> dict[str, dict[str, float]]:
        """`{output: {metric: value}}` of the candidate over the whole split."""
        found: dict[str, dict[str, float]] = {}
        for line in self.lines:
            if not line.slice and not line.of and line.value is not None:
                found.setdefault(line.output, {"example_count": float(line.rows)})
                found[line.output][line.metric] = line.value
        return found


def write_quality(quality: Quality, folder: Path) -> None:
    """Writes it beside TFMA's own files."""
    write_text(folder / QUALITY_FILE, quality.model_dump_json(indent=1) + "\n")


def read_quality(folder: Path) -> Quality:
    """What `write_quality` wrote."""
    return Quality.model_validate_json((folder / QUALITY_FILE).read_text())


class Measured(NamedTuple):
    """What TFMA measured in one slice, each `{(output, metric): value}`."""

    candidate: dict[tuple[str, str], float]
    champion: dict[tuple[str, str], float]
    change: dict[tuple[str, str], float]


def measured(folder: Path, specification: Specification) -> dict[Slice, Measured]:
    """What TFMA measured, the whole split first, then slices in order."""
    import tensorflow_model_analysis as tfma

    from tfx_fusion.modules.evaluation.config import CHAMPION, shown_value

    [alone, *more] = specification.outputs
    found: dict[Slice, Measured] = {}
    for part in tfma.load_metrics(str(folder)):
        key = tfma.slicer.deserialize_slice_key(part.slice_key)
        where = tuple((name, shown_value(specification, name, value)) for name, value in key)
        of = found.setdefault(where, Measured({}, {}, {}))
        for item in part.metric_keys_and_values:
            if not item.value.HasField("double_value"):
                continue
            values = of.champion if item.key.model_name == CHAMPION else of.candidate
            values = of.change if item.key.is_diff else values
            output = item.key.output_name if more else alone
            values[output, item.key.name] = item.value.double_value.value
    sliced = ((), *specification.sliced_by())

    def place(where: Slice) -> tuple[int, Slice]:
        return sliced.index(tuple(name for name, _ in where)), where

    return dict(sorted(found.items(), key=lambda item: place(item[0])))


def judge(
    specification: Specification,
    slices: Mapping[Slice, Measured],
    intervals_in: Callable[[Slice], Intervals],
) -> Quality:
    """Every metric in every slice, with the bounds that it keeps or misses.

    Args:
        specification: says which metrics and bounds.
        slices: what was measured.
        intervals_in: the intervals in a slice; empty where none are asked for.
    """
    confidence = specification.evaluation.confidence
    judged = _Judged(specification, confidence)
    for where, found in slices.items():
        intervals = intervals_in(where)
        for output, spec in specification.outputs.items():
            for metric in spec.metrics:
                judged.add(where, output, metric, found, intervals)
    for _, wanted, bounded, bounded_metric, _ in specification.evaluation.bounds():
        if not any(_lies_in(where, wanted) for where in slices):
            told = ", ".join(f"{name} {value or 'any'}" for name, value in wanted.items())
            judged.missed.append(
                f"{bounded}.{bounded_metric} in {told} is bounded, but no row of the evaluation "
                "split lies there"
            )
    return Quality(
        confidence=confidence,
        lines=tuple(judged.lines),
        missed=tuple(judged.missed),
        passed_over=tuple(judged.passed_over),
    )


def _lies_in(where: Slice, wanted: Mapping[str, str | None]) -> bool:
    found = dict(where)
    return found.keys() == wanted.keys() and all(
        value is None or found[name] == value for name, value in wanted.items()
    )


class _Judged:
    def __init__(self, specification: Specification, confidence: float | None) -> None:
        self._bounds = specification.evaluation.bounds()
        self._confidence = confidence
        self.lines: list[Line] = []
        self.missed: list[str] = []
        self.passed_over: list[str] = []

    def add(
        self, where: Slice, output: str, metric: str, found: Measured, intervals: Intervals
    ) -> None:
        """Adds a line, and what it misses or passes over."""
        at = output, metric
        line = Line(
            output=output,
            metric=metric,
            slice=dict(where),
            rows=round(found.candidate[output, "example_count"]),
            value=_finite(found.candidate.get(at)),
            interval=intervals.get((*at, False)),
            champion=_finite(found.champion.get(at)),
            change=_finite(found.change.get(at)),
            change_interval=intervals.get((*at, True)),
        )
        name = f"{output}.{metric}" + (f" in {line.where}" if where else "")
        bounds: list[Bound] = []
        for _, wanted, bounded, bounded_metric, threshold in self._bounds:
            if (bounded, bounded_metric) != at or not _lies_in(where, wanted):
                continue
            told = f"{name} is {shown(line.value, line.interval, self._confidence)}"
            bounds += self._check(line.value, threshold, "", told)
            if threshold.change and not found.champion:
                bounds += [Bound(says=says, kept=None) for says, _, _ in
                           _limits(threshold.change, "change ")]  # fmt: skip
                self.passed_over.append(f"{name}: its change has no champion to be measured from")
            elif threshold.change:
                change = shown(line.change, line.change_interval, self._confidence, "+.4f")
                told = f"{name} changes by {change} from the champion's {shown(line.champion)}"
                bounds += self._check(line.change, threshold.change, "change ", told)
        self.lines.append(line.model_copy(update={"bounds": tuple(bounds)}))

    def _check(
        self, value: float | None, bounds: Bounds, prefix: str, told: str
    ) -> Iterator[Bound]:
        for says, keeps, wish in _limits(bounds, prefix):
            kept = value is not None and keeps(value)
            if not kept:
                self.missed.append(f"{told}, {wish}")
            yield Bound(says=says, kept=kept)


def _limits(bounds: Bounds, prefix: str) -> Iterator[tuple[str, Callable[[float], bool], str]]:
    """Each limit in a few words, what tells whether a value keeps it, and in whole words."""
    least, most = bounds.min, bounds.max
    if least is not None:
        yield f"{prefix}≥ {least:g}", partial(le, least), f"at least {least:g} is needed"
    if most is not None:
        yield f"{prefix}≤ {most:g}", partial(ge, most), f"at most {most:g} is allowed"


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def shown(
    value: float | None,
    interval: Interval | None = None,
    confidence: float | None = None,
    form: str = ".4f",
) -> str:
    """A value with its interval, as messages show them."""
    if value is None:
        return "not to be computed"
    if interval is None or confidence is None:
        return f"{value:{form}}"
    low, high = interval
    return f"{value:{form}} ({100 * confidence:g} % interval {low:{form}} to {high:{form}})"
