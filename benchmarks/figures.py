"""What every benchmark does with its figures: a table side by side, and a JSON file."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from tfx_fusion.modules.files import write_text

HELP: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

json_option = click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Also write the figures to this file."
)


def side_by_side(title: str, columns: Iterable[str], rows: Iterable[Iterable[Any]]) -> Table:
    """A table of figures; the first column names what was measured.

    Numbers below 1,000 have three digits that count, others none after the point.
    """
    first, *others = columns
    table = Table(first, title=title)
    for column in others:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def write_figures(file: Path | None, figures: dict[str, Any]) -> None:
    """Writes the figures as JSON if a file was given."""
    if file:
        write_text(file, json.dumps(figures, indent=1) + "\n")
