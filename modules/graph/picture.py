"""The fusion graph as a picture: features at the left, outputs at the right, frozen parts hatched.

`tfx_fusion.modules.graph.layout` says where everything stands.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch, Polygon, Rectangle
from matplotlib.path import Path as Curve

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel, shape_text
from tfx_fusion.modules.graph.describe import NodeRow, describe
from tfx_fusion.modules.graph.layout import (
    ARROW,
    CHARACTERS,
    LABEL_SIZE,
    NAME_LINE,
    NAME_SIZE,
    PADDING,
    STRIP,
    TEXT_LINE,
    TEXT_SIZE,
    TITLE_SIZE,
    Box,
    Kind,
    Learning,
    Run,
    Wire,
    layout,
    text_height,
    text_width,
)
from tfx_fusion.modules.graph.topology import references
from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.submodels.interface import Interface

# Fill and outline, after the colour-blind-safe palette of Okabe and Ito.
COLOURS: dict[Kind, tuple[str, str]] = {
    "feature": ("#e3f3ec", "#00795a"),
    "sub-model": ("#e1eef8", "#0072b2"),
    "merge": ("#eeeeee", "#555555"),
    "new layers": ("#fdf0da", "#b36b00"),
    "output": ("#f7e6ef", "#a8507f"),
}
MEANINGS: dict[Learning, str] = {
    "frozen": "frozen",
    "partly": "learns in part or in some stages",
    "learns": "learns",
}
LEARNS, INK, WIRE = "#e69f00", "#1a1a1a", "#5f6b76"

MARGIN, TITLE_HEIGHT, LEGEND_HEIGHT = 16.0, 40.0, 32.0
# Text stays text in an SVG; the same graph gives the same bytes.
# Where the font that Matplotlib brings is missing, a viewer takes one that is no wider.
SETTINGS: Any = {  # Matplotlib types these settings otherwise from version to version
    "svg.fonttype": "none",
    "svg.hashsalt": "fusion",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Helvetica", "Arial"],
}


def draw_graph(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    fused: FusedModel,
    path: Path,
) -> None:
    """Draws the graph into a file, SVG or PNG by the ending of its name.

    Takes what `describe` takes: `fused` may be built from interfaces alone or from the sub-models.
    Raises RunError for another ending.
    """
    check_ending(path)
    rows = describe(specification, dict(interfaces), fused)
    placed = layout(graph_boxes(specification, rows), graph_wires(specification, fused))
    trainable, frozen = sum(row.trainable for row in rows), sum(row.frozen for row in rows)
    told = f"{_count(trainable + frozen)}, {f'{trainable:,}' if frozen else 'all'} of them learn"
    legend = _legend(placed.boxes)
    width = max(placed.width, *(x + room for _, _, _, x, room in legend)) + 2 * MARGIN
    height = TITLE_HEIGHT + placed.height + LEGEND_HEIGHT + 2 * MARGIN
    with rc_context(SETTINGS):
        figure = Figure(figsize=(width / 72, height / 72), facecolor="white")
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        top = -MARGIN - TITLE_HEIGHT
        axes.set(xlim=(-MARGIN, width - MARGIN), ylim=(top + height, top))
        _draw_text(axes, 0, -TITLE_HEIGHT + 11, specification.name, TITLE_SIZE, bold=True)
        _draw_text(axes, 0, -TITLE_HEIGHT + 26, told, TEXT_SIZE)
        # Routes from one output come one after the other and start alike.
        for _, routes in groupby(placed.routes, key=lambda route: (route[0].start, route[0].y)):
            _draw_routes(axes, list(routes))
        for box in placed.boxes:
            _draw_box(axes, box)
        for label in placed.labels:
            _draw_text(axes, label.x, label.y + 0.8 * label.height, label.text, LABEL_SIZE)
        for kind, learning, word, x, _ in legend:
            y = placed.height + LEGEND_HEIGHT
            swatch = Box("", "", kind, [], learning, x=x, y=y - 9, width=16, height=11)
            _draw_outline(axes, swatch)
            _draw_text(axes, x + 21, y, word, TEXT_SIZE)
        save_figure(figure, path, f"{specification.name}: the fusion graph")


def check_ending(path: Path) -> None:
    """Raises RunError for a file name that tells neither SVG nor PNG."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise RunError(f"{path}: expected a name that ends in .svg or .png; give it another name")


def save_figure(figure: Figure, path: Path, title: str) -> None:
    """Writes a picture whole or not at all, with its folders."""
    check_ending(path)
    kind = path.suffix.lower().removeprefix(".")
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    metadata = {"Title": title, **({"Date": None} if kind == "svg" else {})}
    # Matplotlib draws at most 2^16 pixels to a side.
    dots = min(160.0, 60_000 / max(figure.get_size_inches()))
    try:
        with rc_context(SETTINGS):
            figure.savefig(aside, format=kind, dpi=dots, metadata=metadata)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


# -------------------------------------------------------------------------------- what to draw


def graph_boxes(specification: Specification, rows: list[NodeRow]) -> list[Box]:
    """A box for each node, in the order of the data; features that only slices use have none."""
    used = {reference for _, _, reference in references(specification)}
    nodes = {row.name: row for row in rows[: -len(specification.outputs)]}
    boxes = []
    for name, row in nodes.items():
        count = _parameters(row)
        if name in specification.features:
            if name in used:
                missing = ["may be missing"] if specification.features[name].missing else []
                boxes.append(Box(name, name, "feature", [f"{row.kind} feature", *missing]))
        elif name in specification.submodels:
            owner = specification.owner(name)
            learning, told = _submodel_learning(specification, nodes[owner])
            count = [f"same weights as {owner}"] if owner != name else count
            boxes.append(Box(name, name, "sub-model", [*told, *count], learning))
        elif name in specification.graph:
            kind: Kind = "merge" if isinstance(specification.graph[name], Merge) else "new layers"
            # What new layers do not learn follows the data: BatchNormalization's statistics.
            learning = "learns" if row.trainable else ""
            # No line begins with an arrow.
            chain = row.kind.replace(" →", "\u00a0→")
            boxes.append(Box(name, name, kind, [chain, *count], learning))
    for name, output in specification.outputs.items():
        boxes.append(Box(f"outputs.{name}", name, "output", ["output", output.loss]))
    for box in boxes:
        box.lines = [line for text in box.lines for line in textwrap.wrap(text, CHARACTERS)]
    return boxes


def graph_wires(specification: Specification, fused: FusedModel) -> list[Wire]:
    """Every connection, those from one output one after the other."""
    wires = []
    for key, target, reference in references(specification):
        source, _, tap = fused.resolved[reference].partition(".")
        submodel = specification.submodels.get(target)
        several = submodel is not None and len(submodel.inputs) > 1
        entry = key.removeprefix(f"submodels.{target}.inputs.") if several else ""
        shape = shape_text(fused.tensor_of(reference)).removesuffix(" float32")
        wires.append(Wire(source, tap, shape, target, entry))
    taps: dict[str, set[str]] = {}
    for wire in wires:
        taps.setdefault(wire.source, set()).add(wire.tap)
    return sorted(
        (wire if len(taps[wire.source]) > 1 else replace(wire, tap="") for wire in wires),
        key=lambda wire: (wire.source, wire.tap),
    )


def _submodel_learning(specification: Specification, row: NodeRow) -> tuple[Learning, list[str]]:
    stages = specification.training.stages
    unfreezing = [stage.name for stage in stages if row.name in stage.unfreeze]
    if not unfreezing:
        return "frozen", ["frozen sub-model"]
    if len(unfreezing) == len(stages):
        return "partly" if row.frozen else "learns", ["sub-model", "unfrozen in every stage"]
    noun = "stage" if len(unfreezing) == 1 else "stages"
    return "partly", ["sub-model", f"unfrozen in {noun} {', '.join(unfreezing)}"]


def _parameters(row: NodeRow) -> list[str]:
    if row.trainable and row.frozen:
        return [f"{_count(row.trainable + row.frozen)},", f"{row.trainable:,} of them learn"]
    return [_count(row.trainable + row.frozen)] if row.trainable + row.frozen else []


def _count(parameters: int) -> str:
    return f"{parameters:,} parameter{'' if parameters == 1 else 's'}"


# ---------------------------------------------------------------------------------- the drawing


def _draw_routes(axes: Axes, routes: list[list[Run]]) -> None:
    """The connections from one output, on a light edge that lifts them off those they cross."""
    curves = []
    for route in routes:
        points, codes = [(route[0].start, route[0].y)], [Curve.MOVETO]
        for run, following in pairwise(route):
            middle = run.end + run.bend * (following.start - run.end)
            points += [(run.end, run.y), (middle, run.y), (middle, following.y),
                       (following.start, following.y)]  # fmt: skip
            codes += [Curve.LINETO, *[Curve.CURVE4] * 3]
        curves.append(
            Curve([*points, (route[-1].end - ARROW, route[-1].y)], [*codes, Curve.LINETO])
        )
    for colour, width in (("white", 3.6), (WIRE, 1.1)):
        together = Curve.make_compound_path(*curves)
        axes.add_patch(PathPatch(together, fill=False, edgecolor=colour, linewidth=width))
    for run in (route[-1] for route in routes):
        tip, back = run.end, run.end - ARROW
        head = [(tip, run.y), (back, run.y - 2.7), (back, run.y + 2.7)]
        axes.add_patch(Polygon(head, facecolor=WIRE, edgecolor="none"))


def _draw_box(axes: Axes, box: Box) -> None:
    _draw_outline(axes, box)
    left = box.x + PADDING + (STRIP if box.learning else 0)
    top = box.y + (box.height - text_height(box)) / 2
    _draw_text(axes, left, top + 10.5, box.name, NAME_SIZE, bold=True)
    for number, line in enumerate(box.lines):
        _draw_text(axes, left, top + NAME_LINE + TEXT_LINE * number + 8.5, line, TEXT_SIZE)


def _draw_outline(axes: Axes, box: Box) -> None:
    """A box without its text: round where data comes in or goes out, at the left what learns."""
    fill, edge = COLOURS[box.kind]
    style = "square,pad=0"
    if box.kind in ("feature", "output"):
        style = f"round,pad=0,rounding_size={min(9.0, box.height / 2)}"
    outline: dict[str, Any] = {"edgecolor": edge, "linewidth": 1.2}
    corner = (box.x, box.y)
    axes.add_patch(FancyBboxPatch(corner, box.width, box.height, style, facecolor=fill, **outline))
    if not box.learning:
        return
    axes.add_patch(Rectangle(corner, STRIP, box.height, facecolor=LEARNS, **outline))
    hatched = {"frozen": 1.0, "partly": 0.5, "learns": 0.0}[box.learning] * box.height
    if hatched:
        axes.add_patch(
            Rectangle(corner, STRIP, hatched, facecolor="white", hatch="//////", **outline)
        )


def _draw_text(axes: Axes, x: float, y: float, text: str, size: float, bold: bool = False) -> None:
    weight = "bold" if bold else "normal"
    axes.text(x, y, text, size=size, weight=weight, color=INK, parse_math=False)


def _legend(boxes: list[Box]) -> list[tuple[Kind, Learning, str, float, float]]:
    """What colours and marks mean, as far as they are used, each with its place and room."""
    kinds = {box.kind for box in boxes}
    entries: list[tuple[Kind, Learning, str]] = [
        (kind, "", kind) for kind in COLOURS if kind in kinds
    ]
    for learning, word in MEANINGS.items():
        marked = [box.kind for box in boxes if box.learning == learning]
        entries += [(kind, learning, word) for kind in marked[:1]]
    legend, x = [], 0.0
    for kind, learning, word in entries:
        room = text_width(word, TEXT_SIZE) + 37
        legend.append((kind, learning, word, x, room))
        x += room
    return legend
