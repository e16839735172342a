"""Where the nodes and connections of a graph stand in its picture.

Nodes stand in columns, by their longest way from the features. A connection that passes a column
has a place in it as nodes have, and curves run only between columns: so nothing covers anything
else. Lengths are in points; y grows downwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import fmean
from typing import Literal

from tfx_fusion.modules.plotting import spread, text_width

Kind = Literal["feature", "sub-model", "merge", "new layers", "output"]
Learning = Literal["frozen", "partly trainable", "trainable", ""]  # "" without weights of its own

NAME_SIZE, TEXT_SIZE = 10.0, 8.0
NAME_LINE, TEXT_LINE = 14.0, 11.0
PADDING, STRIP = 8.0, 7.0  # around the text of a box; at its left, the mark of what is trainable
BOX_GAP, PASSING = 14.0, 10.0  # below a box; the height of a connection that passes a column
ENTRY = 8.0  # between two connections that enter a box
CURVE, STEEPNESS, LONGEST_CURVE = 40.0, 0.15, 130.0  # the width of the curves between two columns
SWEEPS = 24  # even


@dataclass(eq=False)
class Box:
    """A node and what feeds it or, without a name, the place where a connection passes a column.

    `x` is the left edge, `y` the middle.
    """

    name: str = ""
    kind: Kind = "merge"
    lines: list[str] = field(default_factory=list)
    learning: Learning = ""
    sources: list[Box] = field(default_factory=list, repr=False)
    targets: list[Box] = field(default_factory=list, repr=False)
    column: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = PASSING - BOX_GAP

    def entries(self) -> dict[Box, float]:
        """The height at which the connection from each source enters, in the order of these."""
        first = self.y - ENTRY * (len(self.sources) - 1) / 2
        downwards = sorted(self.sources, key=lambda source: source.y)
        return {source: first + ENTRY * number for number, source in enumerate(downwards)}


def layout(nodes: list[Box]) -> list[Box]:
    """Sizes and places nodes, each of which must come after its sources.

    Returns them with the places where connections pass columns; sources are then one column left.
    """
    for node in nodes:
        node.column = 1 + max((source.column for source in node.sources), default=-1)
        widths = [text_width(line, TEXT_SIZE) for line in node.lines]
        widths.append(text_width(node.name, NAME_SIZE, bold=True))
        node.width = max(widths) + 2 * PADDING + STRIP
        text = NAME_LINE + TEXT_LINE * len(node.lines)
        node.height = max(text, ENTRY * len(node.sources)) + PADDING
    last = max(node.column for node in nodes)
    for node in nodes:
        node.column = last if node.kind == "output" else node.column
    boxes = [*nodes, *_passing(nodes)]
    columns = [[box for box in boxes if box.column == number] for number in range(last + 1)]
    _arrange(columns)
    _set_x(columns)
    return boxes


def _passing(nodes: list[Box]) -> list[Box]:
    """Puts a place into each column that a connection passes, one for all from the same node."""
    passing: dict[tuple[Box, int], Box] = {}
    for node in nodes:
        for place, source in enumerate(node.sources):
            for column in range(source.column + 1, node.column):
                new = Box(column=column, sources=[node.sources[place]])
                node.sources[place] = passing.setdefault((source, column), new)
    for box in (*nodes, *passing.values()):
        for source in box.sources:
            source.targets.append(box)
    return list(passing.values())


def _near(box: Box, forward: bool, both: bool = False) -> float:
    """The mean height of what a box is connected with: on one side if there is any, or on both."""
    sources, targets = [box.y for box in box.sources], [box.y for box in box.targets]
    side = (sources or targets) if forward else (targets or sources)
    return fmean((sources + targets if both else side) or [box.y])


def _arrange(columns: list[list[Box]]) -> None:
    """Sorts columns and moves boxes as near to what they are connected with as their column lets.

    First each column goes by its neighbour, forth and back, then by both. At last once more by the
    one before it, so that what has a single input stands straight behind it.
    """
    for sweep in range(SWEEPS + 1):
        forward, last = sweep % 2 == 0, sweep == SWEEPS
        for column in columns if forward else reversed(columns):
            wanted = {box: _near(box, forward, both=sweep > 4 and not last) for box in column}
            if not last:
                column.sort(key=wanted.__getitem__)
            heights = [box.height + BOX_GAP for box in column]
            centres = spread([wanted[box] for box in column], heights)
            for box, centre in zip(column, centres, strict=True):
                box.y = centre


def _set_x(columns: list[list[Box]]) -> None:
    """Gives the boxes of a column the same edges, and steep curves more room than flat ones."""
    x = 0.0
    for column in columns:
        steep = [abs(source.y - y) for box in column for source, y in box.entries().items()]
        x += min(CURVE + STEEPNESS * max(steep), LONGEST_CURVE) if steep else 0
        width = max(box.width for box in column)
        for box in column:
            box.x, box.width = x, width
        x += width
