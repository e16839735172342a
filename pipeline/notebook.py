"""What a notebook shows: a checked specification, a run, and the steps of one that goes on."""

from __future__ import annotations

import sys
import time
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from types import TracebackType
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.report.record import StepRecord
from tfx_fusion.pipeline.steps import Step

if TYPE_CHECKING:
    from tfx_fusion.pipeline.check import Checked
    from tfx_fusion.pipeline.runs import Run

COLOURS = {
    "waiting": "#6b7780", "running": "#9a6700", "done": "#1a7f37", "reused": "#0072b2",
    "failed": "#c62828", "interrupted": "#c62828",
}  # fmt: skip
REPORT_HEIGHT = 640  # pixels


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this program, so that HTML can be shown and replaced."""
    ipython = sys.modules.get("IPython")
    return getattr(ipython and ipython.get_ipython(), "kernel", None) is not None


def checked_html(checked: Checked) -> str:
    """The graph as a picture, and its nodes with shapes and parameters."""
    titles = ("node", "kind", "inputs", "output", "trainable", "frozen")
    rows = [
        [*map(escape, (node.name, node.kind, node.inputs, node.output)),
         _count(node.trainable), _count(node.frozen)]
        for node in checked.nodes
    ]  # fmt: skip
    rows.append(["all", "", "", "", _count(checked.trainable), _count(checked.frozen)])
    stages = [f"stage {name} learns from {plan}" for name, plan in checked.stages.items()]
    # As a picture of its own: two SVGs in one page would share the names of their parts.
    picture = b64encode(checked.picture.encode()).decode()
    return "".join((
        f"<p><b>{escape(checked.specification.name)}</b> is valid</p>",
        f'<img alt="the graph" style="max-width: 100%" src="data:image/svg+xml;base64,{picture}">',
        _table(titles, rows, numbers=(4, 5)),
        _lines((*stages, *checked.notes)),
    ))  # fmt: skip


def run_html(run: Run) -> str:
    """What a run did: its steps as a table, and its report in a frame of its own."""
    places = {"published": run.published, "report": run.report, "log": run.log}
    lines = [f"{name} {place}" for name, place in places.items() if place]
    return "".join((
        f"<p><b>{escape(run.record.name)}</b>, run {escape(run.name)}: {_status(run.status)}</p>",
        _lines((run.error, *lines) if run.error else lines),
        steps_html(run.steps),
        _report(run),
    ))  # fmt: skip


def steps_html(steps: Iterable[StepRecord]) -> str:
    """The steps of a run as a table."""
    rows = []
    for step in steps:
        seconds, note = step.seconds, step.summary.text if step.summary else ""
        if isinstance(step, Step):
            note = step.text
            seconds = time.monotonic() - step.started if step.status == "running" else seconds
        saved = "" if step.seconds_saved is None else f"{step.seconds_saved:.1f}"
        shown = "" if seconds is None else f"{seconds:.1f}"
        rows.append([escape(step.name), _status(step.status), shown, saved, escape(note)])
    return _table(("step", "status", "seconds", "saved", "summary"), rows, numbers=(2, 3))


class LiveSteps:
    """Shows the steps of a run in a notebook as a table that changes with them."""

    def __init__(self, steps: Mapping[str, Step]) -> None:
        self._steps = steps
        self._handle: Any = None

    def __enter__(self) -> LiveSteps:
        from IPython.display import HTML, display

        self._handle = display(HTML(steps_html(self._steps.values())), display_id=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Folds the table of a run whose steps have all ended well: the run itself shows it too."""
        steps = self._steps.values()
        if any(step.status not in ("done", "reused") for step in steps):
            self.show()
            return
        seconds = sum(step.seconds or 0 for step in steps)
        title = f"{len(steps)} steps in {seconds:.1f} s"
        folded = f"<details><summary>{title}</summary>{steps_html(steps)}</details>"
        self._update(folded)

    def changed(self, step: Step) -> None:
        self.show()

    def show(self) -> None:
        """Shows the steps as they are now."""
        self._update(steps_html(self._steps.values()))

    def _update(self, html: str) -> None:
        from IPython.display import HTML

        self._handle.update(HTML(html))


def _report(run: Run) -> str:
    """The page of a run. It is sandboxed: nothing of the data that it shows can run a script."""
    if run.report is None or not run.report.is_file():
        return ""
    page = escape(run.report.read_text(encoding="utf-8"))
    style = f"width: 100%; height: {REPORT_HEIGHT}px; border: 1px solid #c3ccd2"
    return f'<iframe title="the report" sandbox="" style="{style}" srcdoc="{page}"></iframe>'


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[int]) -> str:
    """A table of cells that are HTML."""

    def row(tag: str, cells: Sequence[str]) -> str:
        aligned = ("right" if number in numbers else "left" for number in range(len(cells)))
        return "".join(
            f'<{tag} style="text-align: {side}">{cell}</{tag}>'
            for side, cell in zip(aligned, cells, strict=True)
        )

    body = "".join(f"<tr>{row('td', cells)}</tr>" for cells in rows)
    return f"<table><thead><tr>{row('th', titles)}</tr></thead><tbody>{body}</tbody></table>"


def _lines(texts: Iterable[str]) -> str:
    return f"<p>{'<br>'.join(map(escape, texts))}</p>"


def _status(status: str) -> str:
    colour = COLOURS.get(status, COLOURS["done" if status == "published" else "waiting"])
    return f'<span style="color: {colour}">{escape(status)}</span>'


def _count(number: int) -> str:
    return f"{number:,}" if number else ""
