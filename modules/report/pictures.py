"""The pictures of a report: confusion matrices, counts by class, residuals, branches compared."""

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfx_fusion.modules.evaluation.quality import Line
from tfx_fusion.modules.plotting import (
    BLUE,
    GREY,
    GRID,
    INK,
    ORANGE,
    SETTINGS,
    new_figure,
    save_figure,
    text_width,
)
from tfx_fusion.modules.report.answers import ClassCounts
from tfx_fusion.modules.report.blocks import Picture, svg

SIZE = 8.0  # of texts
MOST_NUMBERED = 20  # more classes than that have too little room for numbers
MOST_NAMED = 60
PLOT = 230.0
DOTS, BARS = 2_000, 30
DARK = 0.55  # of the darkest; above that, white numbers are easier to read
# Of the picture of branches: a panel, a row in it, and what is above and below a panel.
WIDTH, ROW, HEAD, FOOT = 280.0, 15.0, 24.0, 22.0
FUSED = "fused"


def drawn(width: float, height: float, draw: Callable[[Figure], Any], alt: str) -> Picture:
    """A picture of a size in points; `alt` is its text for those who cannot see it."""
    with rc_context(SETTINGS), TemporaryDirectory() as folder:
        figure = new_figure(width, height)
        draw(figure)
        file = Path(folder, "picture.svg")
        save_figure(figure, file, alt)
        return svg(file.read_text(), alt)


def panel(
    figure: Figure, left: float, bottom: float, width: float, height: float, title: str = ""
) -> Axes:
    """Axes at a place in points from the figure's lower left corner."""
    across, up = 72 * figure.get_size_inches()
    axes = figure.add_axes((left / across, bottom / up, width / across, height / up))
    axes.tick_params(labelsize=SIZE, colors=INK, length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(GRID)
    if title:
        axes.set_title(title, size=SIZE + 1, color=INK, loc="left", parse_math=False)
    return axes


def label_axes(axes: Axes, across: str, up: str) -> None:
    """Names both axes."""
    axes.set_xlabel(across, size=SIZE, color=INK, parse_math=False)
    axes.set_ylabel(up, size=SIZE, color=INK, parse_math=False)


def name_ticks(axes: Axes, names: list[str], across: bool, upright: bool = False) -> None:
    """Writes names, not numbers, beside an axis; they are text of the user's, and no formulas."""
    axis = axes.xaxis if across else axes.yaxis
    axis.set_ticks(range(len(names)), names)
    for text in axis.get_ticklabels():
        text.set(parse_math=False, rotation=90 if upright else 0)


def shortened(name: str, most: int = 20) -> str:
    """A name that fits beside an axis."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


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


def worth_picture(lines: Sequence[Line], confidence: float | None) -> Picture:
    """A panel for each metric of each output; margins over a branch are no values of a model."""
    groups: dict[str, list[Line]] = {}
    for line in lines:
        if line.value is not None and not line.of.startswith("over "):
            groups.setdefault(f"{line.output}: {line.metric}", []).append(line)
    names = [shortened(line.of or FUSED, 30) for of in groups.values() for line in of]
    left = 12 + max(text_width(name, SIZE) for name in names)
    height = sum(HEAD + FOOT + ROW * len(of) for of in groups.values())

    def draw(figure: Figure) -> None:
        top = height
        for title, group in groups.items():
            room = ROW * len(group)
            top -= HEAD + room
            axes = panel(figure, left, top, WIDTH, room, title)
            top -= FOOT
            for row, line in enumerate(group):
                colour = BLUE if not line.of else ORANGE if line.of.endswith(" alone") else GREY
                if line.interval:
                    axes.plot(line.interval, [row, row], color=colour, linewidth=2, alpha=0.6)
                axes.plot([line.value or 0.0], [row], "o", color=colour, markersize=5)
            name_ticks(axes, [shortened(line.of or FUSED, 30) for line in group], across=False)
            axes.set_ylim(len(group) - 0.5, -0.5)
            axes.margins(x=0.08)
            axes.grid(axis="x", color=GRID, linewidth=0.6)
            axes.set_axisbelow(True)

    sure = f" with {100 * confidence:g} % intervals" if confidence else ""
    alt = f"The fused model beside each branch alone and without each branch{sure}; as below."
    return drawn(left + WIDTH + 16, height, draw, alt)
