"""The training record as curves: a panel for each loss and metric, a band for each stage.

Lengths are in points. Matplotlib is imported where something is drawn: the numbers alone are also
wanted elsewhere, and it takes half a second.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.errors import RunError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From the colour-blind-safe palette of Okabe and Ito; the dashes tell the lines apart without it.
STYLES = {"train": ("#0072b2", "-"), "eval": ("#d55e00", (0, (4, 1.5)))}
BANDS = ("#f1f4f6", "#dfe6eb")
INK, GRID = "#1a1a1a", "#c3ccd2"

PANEL_WIDTH, PANEL_HEIGHT = 260.0, 150.0
LEFT, RIGHT, BOTTOM, TITLE, MARGIN = 48.0, 68.0, 34.0, 22.0, 8.0
LABEL_SIZE, LABEL_LINE = 8.0, 11.0
MARKED = 40  # more epochs than that show no dots
LOG_RATIO = 50.0  # losses and errors that shrink by more than that get a logarithmic axis


@dataclass(frozen=True)
class StageLabel:
    """The name of a stage above its band, which starts at `start`; `level` counts rows from 0."""

    text: str
    start: float
    left: float
    level: int


def quantities(stages: list[dict[str, Any]]) -> dict[str, dict[str, dict[int, float]]]:
    """Each loss and metric as `{name: {"train" or "eval": {epoch: value}}}`, the loss first.

    Epochs count from 1 through all stages.
    """
    found: dict[str, dict[str, dict[int, float]]] = {}
    epochs = [epoch for stage in stages for epoch in stage["epochs"]]
    for number, epoch in enumerate(epochs, start=1):
        for name, value in epoch.items():
            bare = name.removeprefix("val_")
            # An output may be named `val_…` itself; then the name without it is no quantity.
            run, quantity = ("eval", bare) if bare != name and bare in epoch else ("train", name)
            found.setdefault(quantity, {}).setdefault(run, {})[number] = float(value)
    first = sorted(found, key=lambda name: (name != "loss", not name.endswith("_loss")))
    return {name: found[name] for name in first}


def draw_curves(stages: list[dict[str, Any]], path: Path) -> None:
    """Draws the `stages` of a training record into a file, PNG or SVG by the ending of its name.

    Raises RunError for another ending, and for a record without epochs.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    from modules.fusion.picture import SETTINGS, check_ending, save_figure

    check_ending(path)
    found = quantities(stages)
    if not found:
        raise RunError(f"{path}: the training record holds no epochs to draw; train first")
    across = len(found) if len(found) <= 3 else 2 if len(found) == 4 else 3
    down = math.ceil(len(found) / across)
    labels = stage_labels(stages)
    head = TITLE + LABEL_LINE * (1 + max(label.level for label in labels))
    cell_width, cell_height = LEFT + PANEL_WIDTH + RIGHT, head + PANEL_HEIGHT + BOTTOM
    width, height = across * cell_width + 2 * MARGIN, down * cell_height + 2 * MARGIN
    with rc_context(SETTINGS):
        figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
        for position, (name, runs) in enumerate(found.items()):
            row, column = divmod(position, across)
            left = MARGIN + column * cell_width + LEFT
            bottom = height - MARGIN - (row + 1) * cell_height + BOTTOM
            axes = figure.add_axes(
                (left / width, bottom / height, PANEL_WIDTH / width, PANEL_HEIGHT / height)
            )
            _draw_stages(axes, stages, labels)
            _draw_runs(axes, name, runs)
            _write(axes, 0, PANEL_HEIGHT + head - 12, axes.get_label() or name, 10, weight="bold")
        save_figure(figure, path, "training: losses and metrics by epoch")


def _spans(stages: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """The name, the first and the last epoch of each stage that has any."""
    done = 0
    for stage in stages:
        if stage["epochs"]:
            yield stage["name"], done + 1, done + len(stage["epochs"])
        done += len(stage["epochs"])


def stage_labels(stages: list[dict[str, Any]]) -> list[StageLabel]:
    """Where the names of the stages stand, from the left of a panel.

    A name that would run into the next one stands a row higher. Set from right to left, so that
    the line from a high name down to its band crosses no other name.
    """
    from modules.fusion.picture import text_width

    scale = PANEL_WIDTH / sum(len(stage["epochs"]) for stage in stages)
    labels: list[StageLabel] = []
    taken: list[float] = []  # by row, where the name at the right begins
    for name, first, _ in reversed(list(_spans(stages))):
        width = text_width(name, LABEL_SIZE) + 8
        start = (first - 1) * scale
        left = min(start, PANEL_WIDTH + RIGHT - width)
        level = next((i for i, begin in enumerate(taken) if left + width <= begin), len(taken))
        taken[level : level + 1] = [left]
        labels.append(StageLabel(name, start, left, level))
    return labels[::-1]


def _draw_stages(
    axes: Axes, stages: list[dict[str, Any]], labels: list[StageLabel]
) -> None:
    last = 0
    for number, (_, first, last) in enumerate(_spans(stages)):
        axes.axvspan(first - 0.5, last + 0.5, color=BANDS[number % 2], linewidth=0, zorder=0)
    axes.set_xlim(0.5, last + 0.5)
    for label in labels:
        bottom = PANEL_HEIGHT + 3.5 + label.level * LABEL_LINE
        _write(axes, label.left + 3, bottom, label.text, LABEL_SIZE)
        axes.plot(
            [label.start / PANEL_WIDTH] * 2, [0, (bottom + LABEL_SIZE) / PANEL_HEIGHT],
            color=GRID, linewidth=0.8, transform=axes.transAxes, clip_on=False, zorder=1,
        )  # fmt: skip


def _draw_runs(axes: Axes, name: str, runs: dict[str, dict[int, float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    values = [value for points in runs.values() for value in points.values()]
    finite = [value for value in values if math.isfinite(value)]
    shrinks = name.endswith(("loss", "error")) and min(finite, default=0) > 0
    ...
