"""The lines of a model's quality as the columns of a table, wherever it is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from tfx_fusion.modules.evaluation.quality import Line
from tfx_fusion.modules.metrics.formulas import Interval

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
