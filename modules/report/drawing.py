"""What all pictures of a report share: their axes, and how they become part of the page."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfx_fusion.modules.plotting import GRID, INK, SETTINGS, new_figure, save_figure
from tfx_fusion.modules.report.blocks import Picture, svg

SIZE = 8.0


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
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GRID)
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
