"""The fusion graph as a picture: features left, outputs right, frozen parts hatched."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend_handler import HandlerTuple
from matplotlib.patches import FancyBboxPatch, Patch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Curve

from tfx_fusion.modules import plotting
from tfx_fusion.modules.graph import layout
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.describe import describe, graph_boxes, parameter_text
from tfx_fusion.modules.graph.layout import NAME_SIZE, STRIP, TEXT_LINE, TEXT_SIZE, Box
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface

COLOURS = {  # fill and outline, after the colour-blind-safe palette of Okabe and Ito
    "feature": ("#e3f3ec", "#00795a"),
    "sub-model": ("#e1eef8", "#0072b2"),
    "merge": ("#eeeeee", "#555555"),
    "new layers": ("#fdf0da", "#b36b00"),
    "output": ("#f7e6ef", "#a8507f"),
}
FROZEN: dict[str, Any] = {"facecolor": "white", "hatch": "//////"}
TRAINED: dict[str, Any] = {"facecolor": "#e69f00"}
MARKS = {"frozen": [FROZEN], "partly trainable": [FROZEN, TRAINED], "trainable": [TRAINED]}
LINE, ARROW, MARGIN, TITLE, LEGEND = "#5f6b76", 7.0, 16.0, 40.0, 32.0


def draw_graph(
    specification: Specification, interfaces: Mapping[str, Interface], fused: FusedModel, path: Path
) -> None:
    """Draws the graph into a file, SVG or PNG by the ending of its name.

    `fused` may be built from interfaces or sub-models. Raises RunError for another ending.
    """
    rows = describe(specification, dict(interfaces), fused)
    total, trainable = sum(r.trainable + r.frozen for r in rows), sum(r.trainable for r in rows)
    boxes = layout.layout(graph_boxes(specification, rows, fused))
    subtitle = f"{parameter_text(total)}, {trainable:,} trainable"
    figure = draw_boxes(boxes, specification.name, subtitle)
    plotting.save_figure(figure, path, f"{specification.name}: the fusion graph")


def draw_boxes(boxes: list[Box], title: str, subtitle: str) -> Figure:
    """Draws boxes that have their places; the axes measure in the points of the layout."""
    legend = _legend(boxes)
    least = sum(plotting.text_width(text, TEXT_SIZE) + 40 for text in legend)
    width = 2 * MARGIN + max(least, *(box.x + box.width for box in boxes))
    top = min(box.y - box.height / 2 for box in boxes) - TITLE
    bottom = max(box.y + box.height / 2 for box in boxes) + LEGEND + MARGIN
    with rc_context(plotting.SETTINGS):
        figure = plotting.new_figure(width, bottom - top + MARGIN)
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-MARGIN, width - MARGIN), ylim=(bottom, top - MARGIN))
        axes.set_axis_off()
        _text(axes, 0, top + 11, title, 13, weight="bold")
        _text(axes, 0, top + 26, subtitle, TEXT_SIZE)
        for box in boxes:
            _draw_connections(axes, box)
            if box.name:
                _draw_box(axes, box)
        axes.legend(
            legend.values(), legend, handler_map={tuple: HandlerTuple(ndivide=None, pad=0)},
            loc="lower left", ncols=len(legend), borderaxespad=MARGIN / TEXT_SIZE, borderpad=0,
            frameon=False, fontsize=TEXT_SIZE, labelcolor=plotting.INK, columnspacing=1.5,
        )  # fmt: skip
    return figure


def _draw_connections(axes: Axes, box: Box) -> None:
    """What leaves a box, on a white edge that lifts it off what it crosses."""
    points, codes = [], []
    for target in box.targets:
        y = target.entries()[box]
        begin = box.x + (box.width if box.name else 0)
        right, end = box.x + box.width, target.x - (ARROW if target.name else 0)
        middle = (right + end) / 2
        points += [(begin, box.y), (right, box.y), (middle, box.y), (middle, y), (end, y)]
        codes += [Curve.MOVETO, Curve.LINETO, *[Curve.CURVE4] * 3]
        if target.name:
            head = [(target.x, y), (end, y - 2.7), (end, y + 2.7)]
            axes.add_patch(Polygon(head, facecolor=LINE, edgecolor="none"))
    for colour, width in (("white", 3.6), (LINE, 1.1)) if points else ():
        path = Curve(points, codes)
        axes.add_patch(PathPatch(path, fill=False, ec=colour, lw=width, zorder=0.5))


def _draw_box(axes: Axes, box: Box) -> None:
    """A box and its text: round where data comes in or goes out, at the left what is frozen."""
    fill, edge = COLOURS[box.kind]
    left, top = box.x, box.y - box.height / 2
    style = "round,pad=0,rounding_size=9" if box.kind in ("feature", "output") else "square,pad=0"
    outline: dict[str, Any] = {"edgecolor": edge, "linewidth": 1.2}
    axes.add_patch(FancyBboxPatch((left, top), box.width, box.height, style, fc=fill, **outline))
    marks = MARKS.get(box.learning, [])
    for number, mark in enumerate(marks):
        height = box.height / len(marks)
        corner = (left, top + number * height)
        axes.add_patch(Rectangle(corner, STRIP, height, **mark, **outline))
    left += layout.PADDING + (STRIP if box.learning else 0)
    top = box.y - (layout.NAME_LINE + TEXT_LINE * len(box.lines)) / 2
    _text(axes, left, top + 10.5, box.name, NAME_SIZE, weight="bold")
    for number, line in enumerate(box.lines):
        _text(axes, left, top + layout.NAME_LINE + TEXT_LINE * number + 8.5, line, TEXT_SIZE)


def _text(axes: Axes, x: float, y: float, text: str, size: float, weight: str = "normal") -> None:
    axes.text(x, y, text, size=size, weight=weight, color=plotting.INK, parse_math=False)


def _legend(boxes: list[Box]) -> dict[str, Any]:
    """The kinds and marks that are used, each with what Matplotlib draws before its text."""
    used = {word for box in boxes if box.name for word in (box.kind, box.learning)}
    legend: dict[str, Any] = {
        kind: Patch(facecolor=fill, edgecolor=edge) for kind, (fill, edge) in COLOURS.items()
    }
    legend |= {word: tuple(Patch(ec=LINE, **mark) for mark in MARKS[word]) for word in MARKS}
    return {word: handle for word, handle in legend.items() if word in used}
