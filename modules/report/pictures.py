"""Pictures of predictions: confusion matrices, counts by class, residuals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfx_fusion.modules.plotting import BLUE, GREY, GRID, INK, ORANGE, text_width
from tfx_fusion.modules.report.answers import ClassCounts
from tfx_fusion.modules.report.blocks import Picture
from tfx_fusion.modules.report.drawing import (
    SIZE,
    drawn,
    label_axes,
    name_ticks,
    panel,
    shortened,
)

MOST_NUMBERED = 20  # more classes than that have too little room for numbers
MOST_NAMED = 60
PLOT = 230.0
DOTS, BARS = 2_000, 30
DARK = 0.55  # of the darkest; above that, white numbers are easier to read


def confusion_picture(output: str, counts: np.ndarray, classes: Sequence[str]) -> Picture:
    """True classes downwards, predicted ones across; dark cells hold most of a true class."""
    size = len(classes)
    cell = 26.0 if size <= 12 else 20.0 if size <= MOST_NUMBERED else max(2.0, 420.0 / size)
    names = [shortened(name) for name in classes]
    margin = 26 + (max(text_width(name, SIZE) for name in names) if size <= MOST_NAMED else 0)
    side = cell * size
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)

    def draw(figure: Figure) -> None:
        axes = panel(figure, margin, margin, side, side)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
        label_axes(axes, "predicted", "true")
        if size <= MOST_NAMED:
            upright = max(text_width(name, SIZE) for name in names) > cell - 4
            name_ticks(axes, names, across=True, upright=upright)
            name_ticks(axes, names, across=False)
        for truth, chosen in zip(*np.nonzero(counts), strict=True) if size <= MOST_NUMBERED else ():
            colour = "white" if shares[truth, chosen] > DARK else INK
            axes.text(
                chosen, truth, f"{counts[truth, chosen]}", size=SIZE, color=colour,
                ha="center", va="center",
            )  # fmt: skip

    correct = int(np.trace(counts))
    alt = f"Confusion matrix of {output}: {correct:,} of {int(counts.sum()):,} rows are correct."
    return drawn(margin + side + 10, margin + side + 10, draw, alt)


def classes_picture(output: str, counts: ClassCounts, classes: Sequence[str]) -> Picture:
    """A bar for each class: what was found, overlooked and invented."""
    names = [shortened(name) for name in classes]
    left = 12 + max(text_width(name, SIZE) for name in names)
    row = 16.0
    room = row * len(names)

    def draw(figure: Figure) -> None:
        axes = panel(figure, left, 46, PLOT, room)
        start = np.zeros(len(names))
        for label, values, colour, hatch in (
            ("found", counts.found, BLUE, ""),
            ("overlooked", counts.overlooked, ORANGE, "////"),
            ("invented", counts.invented, GREY, "...."),
        ):
            axes.barh(
                range(len(names)), values, 0.7, start, label=label, color=colour, hatch=hatch,
                edgecolor="white", linewidth=0,
            )  # fmt: skip
            start = start + values
        name_ticks(axes, names, across=False)
        axes.set_ylim(len(names) - 0.5, -0.5)
        label_axes(axes, "rows", "")
        figure.legend(loc="lower left", ncols=3, fontsize=SIZE, frameon=False, labelcolor=INK)

    alt = f"Classes of {output}: how often each was found, overlooked and invented; as below."
    return drawn(max(left + PLOT + 16, 280), room + 56, draw, alt)


def residuals_picture(output: str, truth: np.ndarray, predicted: np.ndarray) -> Picture:
    """Predictions over true values, and the distribution of the errors."""
    finite = np.isfinite(truth) & np.isfinite(predicted)
    truth, predicted = truth[finite].astype(float), predicted[finite].astype(float)
    step = max(1, -(-len(truth) // DOTS))

    def draw(figure: Figure) -> None:
        axes = panel(figure, 52, 36, PLOT, PLOT * 0.8, "predicted by true value")
        axes.scatter(truth[::step], predicted[::step], s=7, color=BLUE, alpha=0.5, linewidths=0)
        if len(truth):
            ends = [min(truth.min(), predicted.min()), max(truth.max(), predicted.max())]
            axes.plot(ends, ends, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
        label_axes(axes, "true", "predicted")
        axes = panel(figure, PLOT + 110, 36, PLOT, PLOT * 0.8, "errors, predicted − true")
        axes.hist(predicted - truth, bins=_bins(predicted - truth), color=BLUE)
        axes.axvline(0, color=INK, linewidth=0.8, linestyle=(0, (4, 2)))
        label_axes(axes, "error", "rows")
        for drawn_axes in figure.axes:
            drawn_axes.grid(color=GRID, linewidth=0.5)
            drawn_axes.set_axisbelow(True)

    error = float(np.abs(predicted - truth).mean()) if len(truth) else 0.0
    alt = f"Residuals of {output} on {len(truth):,} rows: the mean absolute error is {error:.4g}."
    return drawn(2 * PLOT + 130, PLOT * 0.8 + 64, draw, alt)


def _bins(errors: np.ndarray) -> list[float]:
    """The edges of a histogram's bars; nearly equal errors have some room too."""
    low, high = (errors.min(), errors.max()) if len(errors) else (-1.0, 1.0)
    half = max((high - low) / 2, 1e-6 * max(1.0, abs(low), abs(high)))
    middle = (low + high) / 2
    return np.linspace(middle - half, middle + half, BARS + 1).tolist()
