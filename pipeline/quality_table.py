"""What a model came to, as the table that ends a run."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from modules.evaluation.measures import Interval
from modules.evaluation.quality import Bound, Quality

VERDICTS = {True: ("kept", "green"), False: ("missed", "red"), None: ("no champion", "dim")}


def quality_table(quality: Quality) -> Table:
    """A row for each metric of each slice; columns that would stay empty are left out."""
    columns = [
        ("output", False, lambda line: line.output),
        ("metric", False, lambda line: line.metric),
        ("of", False, lambda line: line.of),
        ("slice", False, lambda line: line.where),
        ("rows", True, lambda line: f"{line.rows:,}"),
        ("value", True, lambda line: _number(line.value)),
        (f"{100 * (quality.confidence or 0):g} %", False, lambda line: _interval(line.interval)),
        ("champion", True, lambda line: _number(line.champion)),
        ("change", True, lambda line: _number(line.change, "+.4f")),
        ("of the change", False, lambda line: _interval(line.change_interval, "+.4f")),
        ("bound", False, lambda line: _bounds(line.bounds)),
    ]
    shown = [column for column in columns if any(column[2](line) for line in quality.lines)]
    table = Table(box=None, pad_edge=False)
    for name, is_number, _ in shown:
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for line in quality.lines:
        table.add_row(*(tell(line) for _, _, tell in shown))
    return table


def _number(value: float | None, form: str = ".4f") -> str:
    return "" if value is None else f"{value:{form}}"


def _interval(interval: Interval | None, form: str = ".4f") -> str:
    return "" if interval is None else " to ".join(f"{end:{form}}" for end in interval)


def _bounds(bounds: tuple[Bound, ...]) -> Text:
    told = Text()
    for position, bound in enumerate(bounds):
        word, style = VERDICTS[bound.kept]
        told.append(f"{', ' if position else ''}{bound.says} ").append(word, style)
    return told
