"""The training record as curves: a panel for each loss and metric, a band for each stage.

Lengths are in points.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from tfx_fusion.modules import plotting
from tfx_fusion.modules.errors import RunError

STYLES = {
    "train": (plotting.BLUE, "-"),
    "eval": (plotting.ORANGE, (0, (4, 1.5))),
}  # dashes differ without colours
BANDS = ("#f1f4f6", "#dfe6eb")

PANEL_WIDTH, PANEL_HEIGHT = 260.0, 150.0
LEFT, RIGHT, BOTTOM, TITLE, MARGIN = 48.0, 78.0, 34.0, 22.0, 8.0
LABEL_SIZE, LABEL_LINE = 8.0, 11.0
MARKED = 40  # more epochs than that show no dots
LOG_RATIO = 50.0  # losses and errors that shrink by more than that get a logarithmic axis


@dataclass(frozen=True)
class StageLabel:
    """The name of a stage, from where its band starts; `level` counts rows upwards."""

    text: str
    start: float
    end: float
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
    plotting.check_suffix(path)
    found = quantities(stages)
    if not found:
        raise RunError(f"{path}: the training record holds no epochs to draw; train first")
    across = len(found) if len(found) <= 3 else 2 if len(found) == 4 else 3
    down = math.ceil(len(found) / across)
    labels = stage_labels(stages)
    head = TITLE + LABEL_LINE * (1 + max(label.level for label in labels))
    right = max(RIGHT, *(label.end - PANEL_WIDTH for label in labels))
    cell_width, cell_height = LEFT + PANEL_WIDTH + right, head + PANEL_HEIGHT + BOTTOM
    width, height = across * cell_width + 2 * MARGIN, down * cell_height + 2 * MARGIN
    with rc_context(plotting.SETTINGS):
        figure = plotting.new_figure(width, height)
        for position, (name, runs) in enumerate(found.items()):
            row, column = divmod(position, across)
            left = MARGIN + column * cell_width + LEFT
            bottom = height - MARGIN - (row + 1) * cell_height + BOTTOM
            axes = figure.add_axes(
                (left / width, bottom / height, PANEL_WIDTH / width, PANEL_HEIGHT / height)
            )
            _draw_stages(axes, stages, labels)
            logarithmic = _is_logarithmic(name, runs)
            _draw_runs(axes, runs, logarithmic)
            title = f"{name} (logarithmic)" if logarithmic else name
            _write(axes, 0, PANEL_HEIGHT + head - 13, title, 10, weight="bold")
        plotting.save_figure(figure, path, "training: losses and metrics by epoch")


def _spans(stages: list[dict[str, Any]]) -> Iterator[tuple[str, int, int]]:
    """The name, the first and the last epoch of each stage that has any."""
    done = 0
    for stage in stages:
        if stage["epochs"]:
            yield stage["name"], done + 1, done + len(stage["epochs"])
        done += len(stage["epochs"])


def stage_labels(stages: list[dict[str, Any]]) -> list[StageLabel]:
    """The places of the stages' names, from the left of a panel.

    A name that would run into the next one is a row higher. Set from right to left, so that
    the line from a high name down to its band crosses no other name.
    """
    scale = PANEL_WIDTH / sum(len(stage["epochs"]) for stage in stages)
    labels: list[StageLabel] = []
    taken: list[float] = []  # by row, where the name at the right begins
    for name, first, _ in reversed(list(_spans(stages))):
        start = (first - 1) * scale
        end = start + plotting.text_width(name, LABEL_SIZE) + 8
        level = next((i for i, begin in enumerate(taken) if end <= begin), len(taken))
        taken[level : level + 1] = [start]
        labels.append(StageLabel(name, start, end, level))
    return labels[::-1]


def _draw_stages(axes: Axes, stages: list[dict[str, Any]], labels: list[StageLabel]) -> None:
    last = 0
    for number, (_, first, last) in enumerate(_spans(stages)):
        axes.axvspan(first - 0.5, last + 0.5, color=BANDS[number % 2], linewidth=0, zorder=0)
    axes.set_xlim(0.5, last + 0.5)
    for label in labels:
        bottom = PANEL_HEIGHT + 3.5 + label.level * LABEL_LINE
        _write(axes, label.start + 3, bottom, label.text, LABEL_SIZE)
        axes.plot(
            [label.start / PANEL_WIDTH] * 2, [0, (bottom + LABEL_SIZE) / PANEL_HEIGHT],
            color=plotting.GRID, linewidth=0.8, transform=axes.transAxes, clip_on=False, zorder=1,
        )  # fmt: skip


def _draw_runs(axes: Axes, runs: dict[str, dict[int, float]], logarithmic: bool) -> None:
    """The lines of one panel, each with its name and last value at its end."""
    epochs = max(epoch for points in runs.values() for epoch in points)
    if logarithmic:
        axes.set_yscale("log")
    else:
        # Matplotlib's own would write a common factor over the names of the stages.
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    for run, points in runs.items():
        colour, dashes = STYLES[run]
        # What a stage did not measure leaves a gap.
        values = [points.get(epoch, math.nan) for epoch in range(1, epochs + 1)]
        axes.plot(
            range(1, epochs + 1), values, color=colour, linestyle=dashes, linewidth=1.4,
            marker="o" if epochs <= MARKED else "", markersize=2.6, zorder=3,
        )  # fmt: skip
    axes.set_xlabel("epoch", size=LABEL_SIZE, color=plotting.INK, labelpad=1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=LABEL_SIZE, colors=plotting.INK, length=2)
    axes.grid(axis="y", color="white", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    bottom, top = axes.get_ylim()  # known only when all lines are there
    scale = math.log if logarithmic else float
    ends = {}
    for run, points in runs.items():
        last = next((v for _, v in sorted(points.items(), reverse=True) if math.isfinite(v)), None)
        if last is not None:
            share = (scale(last) - scale(bottom)) / (scale(top) - scale(bottom))
            ends[run] = last, share * PANEL_HEIGHT
    upwards = sorted(ends, key=lambda run: ends[run][1])
    heights = end_heights([ends[run][1] for run in upwards])
    for run, height in zip(upwards, heights, strict=True):
        label = f"{run} {ends[run][0]:.4g}"
        _write(axes, PANEL_WIDTH + 5, height - 3, label, LABEL_SIZE, color=STYLES[run][0])


def end_heights(wanted: list[float]) -> list[float]:
    """The heights, from below, of the names at the ends of lines: a line apart, in the panel."""
    heights = plotting.spread(wanted, [LABEL_LINE] * len(wanted))
    room = LABEL_LINE * len(wanted)
    lowest = [LABEL_LINE * (number + 0.5) for number in range(len(wanted))]
    return [
        min(max(height, low), low + PANEL_HEIGHT - room)
        for height, low in zip(heights, lowest, strict=True)
    ]


def _is_logarithmic(name: str, runs: dict[str, dict[int, float]]) -> bool:
    values = [value for points in runs.values() for value in points.values()]
    finite = [value for value in values if math.isfinite(value)]
    return (
        name.endswith(("loss", "error"))
        and min(finite, default=0) > 0
        and max(finite) / min(finite) > LOG_RATIO
    )


def _write(axes: Axes, x: float, y: float, text: str, size: float, **look: Any) -> None:
    """Text by its place from the lower left corner of a panel."""
    place = (x / PANEL_WIDTH, y / PANEL_HEIGHT)
    look = {"color": plotting.INK, "parse_math": False, **look}
    axes.text(*place, text, size=size, transform=axes.transAxes, **look)
