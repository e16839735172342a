"""What a model came to, as the table that ends a run."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from tfx_fusion.modules.evaluation.quality import Bound, Quality
from tfx_fusion.modules.evaluation.quality_columns import BOUND, VERDICTS, quality_columns

STYLES = {True: "green", False: "red", None: "dim"}


def quality_table(quality: Quality) -> Table:
    """A row for each metric of each slice; columns that would stay empty are left out."""
    shown = quality_columns(quality.lines, quality.confidence)
    table = Table(box=None, pad_edge=False)
    for column in shown:
        table.add_column(
            column.name, justify="right" if column.is_number else "left", overflow="fold"
        )
    for line in quality.lines:
        table.add_row(*(_bounds(line.bounds) if c.name == BOUND else c.text(line) for c in shown))
    return table


def _bounds(bounds: tuple[Bound, ...]) -> Text:
    told = Text()
    for position, bound in enumerate(bounds):
        told.append(f"{', ' if position else ''}{bound.text} ")
        told.append(VERDICTS[bound.met], STYLES[bound.met])
    return told
