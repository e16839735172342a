"""Where commands print."""

from __future__ import annotations

from typing import TextIO

from rich.console import Console

# A pipe or a log has no width of its own; tables need some room there.
WIDTH = 120


def wide_console(file: TextIO | None = None, terminal: bool | None = None) -> Console:
    """A console for a command's output, as wide as the terminal, or 120 columns without one."""
    console = Console(file=file, force_terminal=terminal)
    return console if console.is_terminal else Console(file=file, width=WIDTH)
