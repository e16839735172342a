"""The quality of a model on the evaluation split, slice by slice, and which bounds it meets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from operator import ge, le
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.metrics.formulas import Interval
from tfx_fusion.modules.metrics.table import baseline, larger_is_better
from tfx_fusion.modules.spec import Bounds
from tfx_fusion.modules.spec.base import Part

# Imported by the functions that measure: who only reads a Quality needs no TensorFlow.
if TYPE_CHECKING:
    from tfx_fusion.modules.evaluation.metrics import Counted
    from tfx_fusion.modules.evaluation.predictions import EvaluatedRows, RowsBefore, Slice
    from tfx_fusion.modules.spec.evaluated import Evaluated

QUALITY_FILE = "quality.json"
NO_GAIN = 1e-6  # a difference this small may come from rounding


class Bound(Part):
    """A bound as `≥ 0.9`; `met` is None where there was no champion to compare with."""

    text: str
    met: bool | None


class Line(Part):
    """A metric of an output in a slice; an empty slice is the whole split.

    `of` names the model where it is not the candidate. A value that is not finite is None.
    `baseline` is the best value that a prediction reaches that is the same for all of these rows;
    None where the metric compares with none.
    """

    output: str
    metric: str
    of: str = ""
    slice: dict[str, str] = {}
    rows: int
    value: float | None
    interval: Interval | None = None
    baseline: float | None = None
    champion: float | None = None
    change: float | None = None
    change_interval: Interval | None = None
    bounds: tuple[Bound, ...] = ()

    @property
    def where(self) -> str:
        """The slice in words."""
        return ", ".join(f"{name} {value or 'missing'}" for name, value in self.slice.items())


class Quality(Part):
    """All lines, and a sentence for each bound that was missed, or skipped without a champion.

    `warnings` has one for each metric that is no better than that of a constant prediction.
    """

    confidence: float | None = None
    lines: tuple[Line, ...]
    missed: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_bounded(self) -> bool:
        """Whether the specification bounds anything."""
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


class NoChampion(NamedTuple):
    """Why there is no model to compare with; `fails` is whether bounds of a change are missed."""

    reason: str = "no published model yet"
    fails: bool = False


class Measured(NamedTuple):
    """What TFMA measured in one slice, each `{(output, metric): value}`."""

    candidate: dict[tuple[str, str], float]
    champion: dict[tuple[str, str], float]
    change: dict[tuple[str, str], float]


def measured(folder: Path, specification: Evaluated) -> dict[Slice, Measured]:
    """What TFMA measured, the whole split first, then slices in order."""
    import tensorflow_model_analysis as tfma

    from tfx_fusion.modules.evaluation.predictions import CHAMPION
    from tfx_fusion.modules.evaluation.tfma_config import MODELS

    [first, *more] = specification.outputs
    found: dict[Slice, Measured] = {}
    for part in tfma.load_metrics(str(folder)):
        key = tfma.slicer.deserialize_slice_key(part.slice_key)
        where = tuple((name, str(value)) for name, value in key)
        of = found.setdefault(where, Measured({}, {}, {}))
        for item in part.metric_keys_and_values:
            if not item.value.HasField("double_value"):
                continue
            values = of.champion if item.key.model_name == MODELS[CHAMPION] else of.candidate
            values = of.change if item.key.is_diff else values
            output = item.key.output_name if more else first
            values[output, item.key.name] = item.value.double_value.value
    sliced = ((), *specification.sliced_by())

    def place(where: Slice) -> tuple[int, Slice]:
        return sliced.index(tuple(name for name, _ in where)), where

    return dict(sorted(found.items(), key=lambda item: place(item[0])))


# By output and metric: the interval of the value, and of the change from the champion if it is one.
Intervals = dict[tuple[str, str, bool], Interval]


def assess(
    specification: Evaluated,
    evaluation: Path,
    before: RowsBefore | None = None,
    absent: NoChampion = NoChampion(),  # noqa: B008 immutable
) -> Quality:
    """The quality of a model from the folder of its evaluation.

    Args:
        specification: says what is measured and bounded.
        evaluation: holds TFMA's results, and the predictions from which intervals are drawn.
        before: the rows that were read and rejected by the steps before, where they are known.
        absent: why there is no champion, where it was not measured.
    """
    from tfx_fusion.modules.evaluation.predictions import read_predictions, rejected_rows

    rejected = rejected_rows(specification, evaluation, before)
    confidence = specification.evaluation.confidence
    slices = measured(evaluation, specification)
    rows = read_predictions(specification, evaluation)

    def intervals_in(where: Slice) -> Intervals:
        return slice_intervals(specification, confidence, where, rows) if confidence else {}

    quality = judge(
        specification,
        slices,
        intervals_in,
        lambda where: baselines(specification, where, rows),
        absent,
    )
    if not rejected:
        return quality
    reason = f"{len(rejected)} rows without a finite prediction, in no metric, first {rejected[0]}"
    return quality.changed(skipped=(*quality.skipped, reason))


def baselines(
    specification: Evaluated, where: Slice, evaluated: EvaluatedRows
) -> dict[tuple[str, str], float | None]:
    """By output and metric, what the best constant prediction reaches in a slice."""
    rows = evaluated.within(where)
    return {
        (output, metric): baseline(
            specification.kind_of(output), metric, evaluated.labels[output][rows]
        )
        for output, spec in specification.outputs.items()
        for metric in spec.metrics
    }


def slice_intervals(
    specification: Evaluated, confidence: float, where: Slice, evaluated: EvaluatedRows
) -> Intervals:
    """The intervals of every metric in a slice."""
    from tfx_fusion.modules.evaluation.metrics import Difference, intervals_of, measures_of

    rows = evaluated.within(where)
    found: dict[tuple[str, str, bool], Counted] = {}
    for output in specification.outputs:
        labels = evaluated.labels[output][rows]
        own = measures_of(specification, output, labels, evaluated.predictions[output][rows])
        found.update({(output, metric, False): measure for metric, measure in own.items()})
        if evaluated.champion:
            old = measures_of(specification, output, labels, evaluated.champion[output][rows])
            changes = {metric: Difference(own[metric], old[metric]) for metric in own}
            found.update({(output, metric, True): change for metric, change in changes.items()})
    return intervals_of(found, int(rows.sum()), confidence, specification.seed)


def judge(
    specification: Evaluated,
    slices: Mapping[Slice, Measured],
    intervals_in: Callable[[Slice], Intervals],
    baselines_in: Callable[[Slice], Mapping[tuple[str, str], float | None]] = lambda where: {},
    absent: NoChampion = NoChampion(),  # noqa: B008 immutable
) -> Quality:
    """Every metric in every slice, with the bounds that it meets or misses.

    Args:
        specification: says which metrics and bounds.
        slices: what was measured.
        intervals_in: the intervals in a slice; empty where none are asked for.
        baselines_in: what the best constant prediction reaches in a slice.
        absent: why there is no champion, where it was not measured.
    """
    judged = _Judged(specification, absent)
    for where, found in slices.items():
        intervals, constant = intervals_in(where), baselines_in(where)
        for output, spec in specification.outputs.items():
            for metric in spec.metrics:
                judged.add(where, output, metric, found, intervals, constant.get((output, metric)))
    for _, wanted, bounded, bounded_metric, _ in specification.evaluation.bounds():
        if not any(_lies_in(where, wanted) for where in slices):
            named = ", ".join(f"{name} {value or 'any'}" for name, value in wanted.items())
            judged.missed.append(
                f"{bounded}.{bounded_metric} in {named} is bounded, but the evaluation split has "
                "no such row"
            )
    return Quality(
        confidence=specification.evaluation.confidence,
        lines=tuple(judged.lines),
        missed=tuple(judged.missed),
        skipped=tuple(judged.skipped),
        warnings=tuple(judged.warnings),
    )


def _lies_in(where: Slice, wanted: Mapping[str, str | None]) -> bool:
    found = dict(where)
    return found.keys() == wanted.keys() and all(
        value is None or found[name] == value for name, value in wanted.items()
    )


class _Judged:
    def __init__(self, specification: Evaluated, absent: NoChampion) -> None:
        self._absent = absent
        self._bounds = specification.evaluation.bounds()
        self._confidence = specification.evaluation.confidence
        self.lines: list[Line] = []
        self.missed: list[str] = []
        self.skipped: list[str] = []
        self.warnings: list[str] = []

    def add(
        self,
        where: Slice,
        output: str,
        metric: str,
        found: Measured,
        intervals: Intervals,
        constant: float | None,
    ) -> None:
        """Adds a line, and the bounds that it misses or that are skipped."""
        at = output, metric
        line = Line(
            output=output,
            metric=metric,
            slice=dict(where),
            rows=round(found.candidate[output, "example_count"]),
            value=_finite(found.candidate.get(at)),
            interval=intervals.get((*at, False)),
            baseline=_finite(constant),
            champion=_finite(found.champion.get(at)),
            change=_finite(found.change.get(at)),
            change_interval=intervals.get((*at, True)),
        )
        name = f"{output}.{metric}" + (f" in {line.where}" if where else "")
        if not where and line.value is not None and line.baseline is not None:
            gain = line.value - line.baseline if larger_is_better(metric) else (
                line.baseline - line.value
            )  # fmt: skip
            if gain <= NO_GAIN:
                self.warnings.append(
                    f"{name} is {shown(line.value)}, no better than the {shown(line.baseline)} of "
                    "a prediction that is the same for every row"
                )
        bounds: list[Bound] = []
        for _, wanted, bounded, bounded_metric, threshold in self._bounds:
            if (bounded, bounded_metric) != at or not _lies_in(where, wanted):
                continue
            value = f"{name} is {shown(line.value, line.interval, self._confidence)}"
            bounds += self._check(line.value, threshold, "", value)
            if threshold.change and not found.champion:
                met = False if self._absent.fails else None
                bounds += [Bound(text=text, met=met) for text, _, _ in
                           _limits(threshold.change, "change ")]  # fmt: skip
                unchecked = self.missed if self._absent.fails else self.skipped
                unchecked.append(f"{name}: change not checked: {self._absent.reason}")
            elif threshold.change:
                change = shown(line.change, line.change_interval, self._confidence, "+.4f")
                value = f"{name} changes by {change} from the champion's {shown(line.champion)}"
                bounds += self._check(line.change, threshold.change, "change ", value)
        self.lines.append(line.changed(bounds=tuple(bounds)))

    def _check(
        self, value: float | None, bounds: Bounds, prefix: str, shown_value: str
    ) -> Iterator[Bound]:
        for text, is_met_by, wish in _limits(bounds, prefix):
            met = value is not None and is_met_by(value)
            if not met:
                self.missed.append(f"{shown_value}, {wish}")
            yield Bound(text=text, met=met)


def _limits(bounds: Bounds, prefix: str) -> Iterator[tuple[str, Callable[[float], bool], str]]:
    """Each limit as `≥ 0.9`, whether a value meets it, and as half a sentence."""
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
        return "not a finite number"
    if interval is None or confidence is None:
        return f"{value:{form}}"
    low, high = interval
    return f"{value:{form}} ({100 * confidence:g} % interval {low:{form}} to {high:{form}})"


VERDICTS = {True: "pass", False: "fail", None: "no champion"}
BOUND = "bound"


class Column(NamedTuple):
    """A column: its name, whether it holds numbers, and its text for a line."""

    name: str
    is_number: bool
    text: Callable[[Line], str]


def quality_columns(lines: Sequence[Line], confidence: float | None) -> list[Column]:
    """The columns that some line fills; `BOUND` is the last where there is any bound."""
    columns = [
        Column("output", False, lambda line: line.output),
        Column("metric", False, lambda line: line.metric),
        Column("of", False, lambda line: line.of),
        Column("slice", False, lambda line: line.where),
        Column("rows", True, lambda line: f"{line.rows:,}"),
        Column("value", True, lambda line: _number(line.value)),
        Column(f"{100 * (confidence or 0):g} %", False, lambda line: _interval(line.interval)),
        Column("constant", True, lambda line: _number(line.baseline)),
        Column("champion", True, lambda line: _number(line.champion)),
        Column("change", True, lambda line: _number(line.change, "+.4f")),
        Column("of the change", False, lambda line: _interval(line.change_interval, "+.4f")),
        Column(BOUND, False, _bounds),
    ]
    return [column for column in columns if any(column.text(line) for line in lines)]


def _number(value: float | None, form: str = ".4f") -> str:
    return "" if value is None else f"{value:{form}}"


def _interval(interval: Interval | None, form: str = ".4f") -> str:
    return "" if interval is None else " to ".join(f"{end:{form}}" for end in interval)


def _bounds(line: Line) -> str:
    return ", ".join(f"{bound.text} {VERDICTS[bound.met]}" for bound in line.bounds)
