"""Where commands print, and the table that ends a run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from tfx_fusion.modules.files import damaged

if TYPE_CHECKING:
    from tfx_fusion.modules.evaluation.quality import Bound, Quality

# A pipe or a log has no width of its own; tables need some room there.
WIDTH = 120

STYLES = {True: "green", False: "red", None: "dim"}


def wide_console(file: TextIO | None = None, terminal: bool | None = None) -> Console:
    """A console for a command's output, as wide as the terminal, or 120 columns without one."""
    console = Console(file=file, force_terminal=terminal)
    return console if console.is_terminal else Console(file=file, width=WIDTH)


def print_line(console: Console, text: str, style: str | None = None) -> None:
    """Prints a text as it is: unbroken, uncoloured, its brackets no markup."""
    console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


def live(console: Console, renderable: RenderableType | None = None, **settings: Any) -> Live:
    """What changes in place on a terminal.

    It leaves the standard streams where they lead: Rich would print on the terminal what libraries
    write to the log meanwhile, and later too, since they hold on to the streams.
    """
    return Live(
        renderable, console=console, refresh_per_second=4, redirect_stdout=False,
        redirect_stderr=False, **settings,
    )  # fmt: skip


def working(console: Console, text: str) -> Live:
    """Shows a text, and that something goes on, until it has."""
    return live(console, Spinner("dots", text, style="status.spinner"), transient=True)


@contextmanager
def damage_on(console: Console) -> Iterator[None]:
    """Inside it, the user sees what was found damaged and set aside."""

    class Printer(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_line(console, f"Warning: {record.getMessage()}", "yellow")

    printer = Printer()
    damaged.addHandler(printer)
    try:
        yield
    finally:
        damaged.removeHandler(printer)


def quality_table(quality: Quality) -> Table:
    """A row for each metric of each slice; columns that would stay empty are left out."""
    from tfx_fusion.modules.evaluation.quality import BOUND, quality_columns

    columns = quality_columns(quality.lines, quality.confidence)
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.name, justify="right" if column.is_number else "left", overflow="fold"
        )
    for line in quality.lines:
        cells = [_bounds(line.bounds) if c.name == BOUND else c.text(line) for c in columns]
        table.add_row(*cells)
    return table


def _bounds(bounds: tuple[Bound, ...]) -> Text:
    from tfx_fusion.modules.evaluation.quality import VERDICTS

    text = Text()
    for position, bound in enumerate(bounds):
        text.append(f"{', ' if position else ''}{bound.text} ")
        text.append(VERDICTS[bound.met], STYLES[bound.met])
    return text
