"""The fusion graph as a picture: features left, outputs right, frozen parts hatched."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import wrap
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
from tfx_fusion.modules.graph.describe import describe, outputs_of
from tfx_fusion.modules.graph.layers import shape_text
from tfx_fusion.modules.graph.layout import (
    NAME_SIZE,
    STRIP,
    TEXT_LINE,
    TEXT_SIZE,
    Box,
    Kind,
    Learning,
)
from tfx_fusion.modules.graph.node_row import NodeRow
from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.spec.topology import in_order, inputs_of, source_of, used_features
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
CHARACTERS = 26  # of a line in a box
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


def parameter_text(count: int) -> str:
    """A number of parameters with its noun."""
    return f"{count:,} parameter{'' if count == 1 else 's'}"


def graph_boxes(specification: Specification, rows: list[NodeRow], fused: FusedModel) -> list[Box]:
    """A box for each node, after those that feed it; features that only slices use have none.

    `rows` are what `describe` returns for the graph.
    """
    by_name = {row.name: row for row in rows[: -len(specification.outputs)]}
    boxes: dict[str, Box] = {}
    for name in (*used_features(specification), *in_order(specification)):
        row = by_name[name]
        learning: Learning = ""
        inputs: list[tuple[str, str]] = []
        if name in specification.features:
            kind: Kind = "feature"
            missing = ["may be missing"] if specification.features[name].missing else []
            lines = [f"{row.kind} feature", *missing]
        else:
            inputs = list(inputs_of(specification, name))
        if name in specification.submodels:
            kind, owner = "sub-model", specification.owner(name)
            learning, lines = _submodel_learning(specification, by_name[owner])
            lines += _parameter_lines(row) if owner == name else [f"same weights as {owner}"]
            if len(inputs) > 1:
                lines += [f"{key.split('.', 3)[-1]} ← {reference}" for key, reference in inputs]
        elif name in specification.graph:
            kind = "merge" if isinstance(specification.graph[name], Merge) else "new layers"
            # What new layers hold and do not train follows the data, such as the statistics of
            # BatchNormalization: it is not frozen.
            learning = "trainable" if row.trainable else ""
            # No line of a chain begins with an arrow.
            lines = [row.kind.replace(" →", "\u00a0→"), *_parameter_lines(row)]
        outputs = outputs_of(fused, name)
        for output, tensor in outputs.items():
            shape = shape_text(tensor).removesuffix(" float32")
            lines.append(f"→ {output} {shape}" if len(outputs) > 1 else f"→ {shape}")
        boxes[name] = _box(name, kind, lines, learning, [boxes[source_of(r)] for _, r in inputs])
    ends = [
        _box(name, "output", ["output", str(output.loss)], "", [boxes[source_of(output.from_)]])
        for name, output in specification.outputs.items()
    ]
    return [*boxes.values(), *ends]


def _box(name: str, kind: Kind, lines: list[str], learning: Learning, sources: list[Box]) -> Box:
    wrapped = [line for text in lines for line in wrap(text, CHARACTERS)]
    return Box(name, kind, wrapped, learning, list(dict.fromkeys(sources)))


def _submodel_learning(specification: Specification, row: NodeRow) -> tuple[Learning, list[str]]:
    stages = specification.training.stages
    unfreezing = [stage.name for stage in stages if row.name in stage.unfreeze]
    if not unfreezing:
        return "frozen", ["frozen sub-model"]
    if len(unfreezing) == len(stages):
        return "partly trainable" if row.frozen else "trainable", [
            "sub-model",
            "unfrozen in every stage",
        ]
    noun = "stage" if len(unfreezing) == 1 else "stages"
    return "partly trainable", ["sub-model", f"unfrozen in {noun} {', '.join(unfreezing)}"]


def _parameter_lines(row: NodeRow) -> list[str]:
    if row.trainable and row.frozen:
        return [f"{parameter_text(row.trainable + row.frozen)},", f"{row.trainable:,} trainable"]
    return [parameter_text(row.trainable + row.frozen)] if row.trainable + row.frozen else []
