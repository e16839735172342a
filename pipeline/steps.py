"""The steps of a run while it goes on: live in a terminal, line by line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from pydantic import Field
from rich.console import Console
from rich.table import Table

from tfx_fusion.modules.report.record import StepRecord
from tfx_fusion.pipeline.consoles import live, print_line

STYLES = {
    "waiting": "dim", "running": "yellow", "done": "green", "reused": "cyan", "failed": "red",
    "interrupted": "red",
}  # fmt: skip


class Step(StepRecord):
    """A step's record, and what is only shown while it runs."""

    started: float = Field(0.0, exclude=True)  # by `time.monotonic`
    note: str = Field("", exclude=True)  # how far it is, or what keeps it from starting

    @property
    def text(self) -> str:
        """What is to be said of the step now."""
        return self.note or (self.summary.text if self.summary else "")


class StepView(Protocol):
    """Shows, inside a `with`, the steps of a run while it goes on."""

    def __enter__(self) -> StepView: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def changed(self, step: Step) -> None:
        """One of the steps has changed."""


class StepTable:
    """Shows steps in a terminal as a live table, elsewhere as lines."""

    def __init__(self, console: Console, steps: Mapping[str, Step]) -> None:
        self._console = console
        self._steps = steps
        self._live = live(console, get_renderable=self._table)

    def __enter__(self) -> StepTable:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def changed(self, step: Step) -> None:
        """Prints a line when a step starts and ends, where there is no live table."""
        if self._console.is_terminal:
            return
        if step.status == "running" and not step.note:
            print_line(self._console, f"{step.name}: running")
        elif step.status != "running":
            seconds = f"in {step.seconds or 0:.1f} s"
            if step.status == "reused":
                seconds = f"{seconds}, saves {step.seconds_saved or 0:.1f} s"
            print_line(self._console, f"{step.name}: {step.status} {seconds}  {step.text}".rstrip())

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("step")
        table.add_column("status")
        table.add_column("seconds", justify="right")
        table.add_column("saved", justify="right")
        table.add_column("summary", overflow="fold")
        for step in self._steps.values():
            seconds = step.seconds
            if step.status == "running":
                seconds = time.monotonic() - step.started
            table.add_row(
                step.name,
                f"[{STYLES[step.status]}]{step.status}[/]",
                f"{seconds:.1f}" if seconds else "",
                f"{step.seconds_saved:.1f}" if step.seconds_saved else "",
                step.text,
            )
        return table
