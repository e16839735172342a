"""The table of stages that a run shows: live in a terminal, line by line elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tfx_fusion.pipeline.stage import Stage

STYLES = {"waiting": "dim", "running": "yellow", "done": "green", "reused": "cyan", "failed": "red"}


class StageTable:
    """Shows stages while they run."""

    def __init__(self, console: Console, stages: Mapping[str, Stage]) -> None:
        self._console = console
        self._stages = stages
        self._live = Live(get_renderable=self._table, console=console, refresh_per_second=4)

    def __enter__(self) -> StageTable:
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

    def changed(self, stage: Stage) -> None:
        """Tells a change where there is no live table: one line when a stage starts and ends."""
        if self._console.is_terminal:
            return
        if stage.status == "running" and not stage.note:
            self._console.print(f"{stage.name}: running", highlight=False, soft_wrap=True)
        elif stage.status != "running":
            seconds = f"in {stage.seconds:.1f} s"
            if stage.status == "reused":
                seconds = f"{seconds}, saves {stage.saved:.1f} s"
            self._console.print(
                f"{stage.name}: {stage.status} {seconds}  {stage.note}".rstrip(),
                highlight=False,
                soft_wrap=True,
            )

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("stage")
        table.add_column("status")
        table.add_column("seconds", justify="right")
        table.add_column("saved", justify="right")
        table.add_column("what it made", overflow="fold")
        for stage in self._stages.values():
            seconds = stage.seconds
            if stage.status == "running":
                seconds = time.monotonic() - stage.started
            table.add_row(
                stage.name,
                f"[{STYLES[stage.status]}]{stage.status}[/]",
                f"{seconds:.1f}" if seconds else "",
                f"{stage.saved:.1f}" if stage.saved else "",
                stage.note,
            )
        return table
