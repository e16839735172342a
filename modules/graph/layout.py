"""Where the boxes and connections of a graph's picture stand.

A node stands in a layer: as many layers right of the features as its longest way from them has
nodes. Whatever could be drawn over something else has a place of its own: boxes and connections
that pass them share out the height of a layer, shapes stand on a straight piece right of their
box, and curves run only between two layers. Lengths are in points; y grows downwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import accumulate, combinations, pairwise
from statistics import fmean
from typing import Literal

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path

Kind = Literal["feature", "sub-model", "merge", "new layers", "output"]
# What learns of a node; nothing stands for a node without weights.
Learning = Literal["frozen", "partly", "learns", ""]

NAME_SIZE, TEXT_SIZE, LABEL_SIZE, TITLE_SIZE = 10.0, 8.0, 7.5, 13.0
NAME_LINE, TEXT_LINE = 14.0, 11.0
CHARACTERS = 26  # of a line in a box
PADDING, STRIP = 8.0, 7.0  # around the text of a box; the mark of what learns, at its left
BOX_GAP, PASSING = 14.0, 10.0  # below a box; the height of a connection that passes a layer
LABELLED, UNLABELLED = 13.0, 8.0  # between two connections at a box
ARROW = 7.0
CURVE, STEEPNESS, LONGEST_CURVE = 26.0, 0.12, 130.0
SWEEPS = 12


@dataclass(eq=False)
class Box:
    """A node and its text; `x` and `y` are its upper left corner."""

    key: str
    name: str
    kind: Kind
    lines: list[str]
    learning: Learning = ""
    layer: int = 0
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0


@dataclass(frozen=True)
class Wire:
    """A connection: which output of which node, with its shape, to which input of which node.

    `tap` and `entry` are empty where there is only one.
    """

    source: str
    tap: str
    shape: str
    target: str
    entry: str = ""

    @property
    def label(self) -> str:
        return f"{self.tap} {self.shape}".strip()


@dataclass(frozen=True)
class Label:
    """Text above a connection; `x` and `y` are its upper left corner."""

    text: str
    x: float
    y: float
    width: float
    height: float = LABEL_SIZE + 1


@dataclass(frozen=True)
class Run:
    """A straight piece of a connection; a curve joins its end to the start of the next.

    `bend` tells where on the way between the two the curve goes up or down.
    """

    start: float
    end: float
    y: float
    bend: float = 0.5


@dataclass
class Layout:
    """Where everything stands. A route goes from the right of a box to the left of another."""

    boxes: list[Box]
    labels: list[Label]
    routes: list[list[Run]]
    width: float
    height: float


@dataclass(eq=False)
class _Slot:
    """A place in a layer, of a box or of a connection that passes."""

    layer: int
    box: Box | None = None
    height: float = PASSING
    centre: float = 0.0
    before: list[_Join] = field(default_factory=list)
    after: list[_Join] = field(default_factory=list)


@dataclass(eq=False)
class _Join:
    """From a slot to one in the next layer; `leaves` and `enters` count from their centres."""

    left: _Slot
    right: _Slot
    tap: str
    entry: str = ""
    leaves: float = 0.0
    enters: float = 0.0
    bend: float = 0.5

    @property
    def start(self) -> float:
        return self.left.centre + self.leaves

    @property
    def end(self) -> float:
        return self.right.centre + self.enters


def layout(boxes: list[Box], wires: list[Wire]) -> Layout:
    """Sizes and places every box and connection; boxes must come after those that feed them."""
    _assign_layers(boxes, wires)
    slots = {box.key: _Slot(box.layer, box) for box in boxes}
    routes = _routes(slots, wires)
    joins = list(dict.fromkeys(join for route in routes for join in route))
    passing = [join.right for join in joins if join.right.box is None]
    columns = _ordered([*slots.values(), *passing], joins)
    place = _places(columns)
    for slot in slots.values():
        _set_exits(slot, place)
    for box in boxes:
        _measure(box, slots[box.key], place)
    _set_centres(columns)
    return _placed(boxes, wires, routes, columns)


def _assign_layers(boxes: list[Box], wires: list[Wire]) -> None:
    layers: dict[str, int] = {}
    for box in boxes:
        feeding = [layers[wire.source] for wire in wires if wire.target == box.key]
        layers[box.key] = 1 + max(feeding, default=-1)
    last = max(layers.values())
    for box in boxes:
        box.layer = last if box.kind == "output" else layers[box.key]


def _routes(slots: dict[str, _Slot], wires: list[Wire]) -> list[list[_Join]]:
    """The joins of each wire; those from one output are shared as far as they go together."""
    shared: dict[tuple[str, str, int], _Join] = {}
    routes: list[list[_Join]] = []
    for wire in wires:
        slot, end = slots[wire.source], slots[wire.target]
        routes.append([])
        for layer in range(slot.layer + 1, end.layer):
            key = (wire.source, wire.tap, layer)
            if key not in shared:
                shared[key] = _Join(slot, _Slot(layer), wire.tap)
            routes[-1].append(shared[key])
            slot = shared[key].right
        routes[-1].append(_Join(slot, end, wire.tap, wire.entry))
    for join in dict.fromkeys(join for route in routes for join in route):
        join.left.after.append(join)
        join.right.before.append(join)
    return routes


def _ordered(slots: list[_Slot], joins: list[_Join]) -> list[list[_Slot]]:
    """The slots of each layer by the mean position of what feeds them, and of what they feed.

    Of the orders this goes through, the first with the fewest crossings.
    """
    layers = range(1 + max(slot.layer for slot in slots))
    columns = [[slot for slot in slots if slot.layer == layer] for layer in layers]
    orders = []
    for sweep in range(SWEEPS):
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            place = _places(columns)
            near = {
                slot: [place[join.left] for join in slot.before]
                if sweep % 2 == 0
                else [place[join.right] for join in slot.after]
                for slot in columns[layer]
            }
            means = {slot: fmean(places or [place[slot]]) for slot, places in near.items()}
            columns[layer] = sorted(columns[layer], key=means.__getitem__)
        orders.append(list(columns))
    return min(orders, key=lambda order: _crossings(joins, _places(order)))


def _places(columns: list[list[_Slot]]) -> dict[_Slot, int]:
    return {slot: place for column in columns for place, slot in enumerate(column)}


def _crossings(joins: list[_Join], place: Mapping[_Slot, int]) -> int:
    gaps: dict[int, list[tuple[int, int]]] = {}
    for join in joins:
        gaps.setdefault(join.left.layer, []).append((place[join.left], place[join.right]))
    return sum(
        (one[0] - other[0]) * (one[1] - other[1]) < 0
        for ends in gaps.values()
        for one, other in combinations(ends, 2)
    )


def _set_exits(slot: _Slot, place: Mapping[_Slot, int]) -> None:
    """Where connections leave a box: each output once, ordered as what it feeds."""
    targets: dict[str, list[int]] = {}
    for join in slot.after:
        targets.setdefault(join.tap, []).append(place[join.right])
    taps = sorted(targets, key=lambda tap: fmean(targets[tap]))
    for join in slot.after:
        join.leaves = (taps.index(join.tap) - (len(taps) - 1) / 2) * LABELLED


def _measure(box: Box, slot: _Slot, place: Mapping[_Slot, int]) -> None:
    """Where connections enter a box, and its size by its text and its connections."""
    entering = sorted(slot.before, key=lambda join: (place[join.left], join.leaves, join.entry))
    pitch = LABELLED if any(join.entry for join in entering) else UNLABELLED
    for number, join in enumerate(entering):
        join.enters = (number - (len(entering) - 1) / 2) * pitch
    widths = [text_width(line, TEXT_SIZE) for line in box.lines]
    widest = max([text_width(box.name, NAME_SIZE, bold=True), *widths])
    exits = len({join.tap for join in slot.after})
    box.width = widest + 2 * PADDING + (STRIP if box.learning else 0)
    box.height = max(text_height(box) + PADDING, (exits + 1) * LABELLED, len(entering) * pitch + 8)
    slot.height = box.height + BOX_GAP


def text_height(box: Box) -> float:
    return NAME_LINE + TEXT_LINE * len(box.lines)


@cache
def text_width(text: str, size: float, bold: bool = False) -> float:
    """How wide a line of text is."""
    font = FontProperties(family="DejaVu Sans", size=size, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(text, font, ismath=False)[0]


def _set_centres(columns: list[list[_Slot]]) -> None:
    """Moves each slot as near to what it is joined with as its layer lets it.

    First each layer after the one beside it, forth and back; then between both; at last once more
    after the one before it, so that what has a single input stands straight behind it.
    """
    for sweep in range(2 * SWEEPS + 1):
        forward, between = sweep % 2 == 0, SWEEPS <= sweep < 2 * SWEEPS
        for column in columns if forward else reversed(columns):
            wanted = []
            for slot in column:
                before = [join.start - join.enters for join in slot.before]
                after = [join.end - join.leaves for join in slot.after]
                one_side = (before or after) if forward else (after or before)
                wanted.append(fmean((before + after if between else one_side) or [0.0]))
            centres = spread(wanted, [slot.height for slot in column])
            for slot, centre in zip(column, centres, strict=True):
                slot.centre = centre


def spread(wanted: list[float], heights: list[float]) -> list[float]:
    """The centres nearest to the wanted ones (least squares) that keep their order and distance."""
    steps = [(above + below) / 2 for above, below in pairwise(heights)]
    offsets = list(accumulate(steps, initial=0.0))[: len(heights)]
    blocks: list[list[float]] = []
    for centre, offset in zip(wanted, offsets, strict=True):
        blocks.append([centre - offset])
        while len(blocks) > 1 and fmean(blocks[-2]) > fmean(blocks[-1]):
            blocks[-2:] = [blocks[-2] + blocks[-1]]
    shifts = [fmean(block) for block in blocks for _ in block]
    return [shift + offset for shift, offset in zip(shifts, offsets, strict=True)]


def _set_bends(column: list[_Slot]) -> None:
    """Sets curves side by side that would all but meet where they go up or down together."""
    joins = sorted((join for s in column for join in s.after), key=lambda j: (j.start, j.end))
    for side in (
        [join for join in joins if join.end < join.start],
        [join for join in reversed(joins) if join.end > join.start],
    ):
        for number, join in enumerate(side):
            join.bend = 0.3 + 0.4 * (number + 0.5) / len(side)


def _placed(
    boxes: list[Box], wires: list[Wire], routes: list[list[_Join]], columns: list[list[_Slot]]
) -> Layout:
    """The places as numbers; a layer is, from the left: inputs' names, boxes, shapes, curves."""
    slots = [slot for column in columns for slot in column]
    top = min(slot.centre - slot.height / 2 for slot in slots)
    for slot in slots:
        slot.centre -= top
    begins, ends, x = [], [], 0.0
    by_key = {box.key: box for box in boxes}
    for layer, column in enumerate(columns):
        entries = [
            text_width(w.entry, LABEL_SIZE) for w in wires if by_key[w.target].layer == layer
        ]
        shapes = [text_width(w.label, LABEL_SIZE) for w in wires if by_key[w.source].layer == layer]
        begins.append(x)
        x += max(entries) + ARROW + 8 if entries else 0
        inside = [slot.box for slot in column if slot.box]
        widest = max((box.width for box in inside if box.kind != "merge"), default=0)
        room = max(box.width for box in inside)
        for slot in column:
            if slot.box is not None:
                box = slot.box
                box.width = box.width if box.kind == "merge" else widest
                box.x = x + (room - box.width) / 2
                box.y = slot.centre - box.height / 2
        ends.append(x + room + (max(shapes) + 9 if shapes else 0))
        _set_bends(column)
        steepest = max((abs(join.end - join.start) for s in column for join in s.after), default=0)
        x = ends[-1] + min(CURVE + STEEPNESS * steepest, LONGEST_CURVE)
    labels: dict[Label, None] = {}
    drawn = []
    for wire, route in zip(wires, routes, strict=True):
        source, target = by_key[wire.source], by_key[wire.target]
        right, start, end = source.x + source.width, route[0].start, route[-1].end
        runs = [Run(right, ends[source.layer], start, route[0].bend)]
        for join, onward in pairwise(route):
            layer = join.right.layer
            runs.append(Run(begins[layer], ends[layer], join.end, onward.bend))
        runs.append(Run(begins[target.layer], target.x, end))
        drawn.append(runs)
        width = text_width(wire.label, LABEL_SIZE)
        labels[Label(wire.label, right + 5, start - LABEL_SIZE - 3, width)] = None
        if wire.entry:
            width = text_width(wire.entry, LABEL_SIZE)
            left = target.x - ARROW - 4 - width
            labels[Label(wire.entry, left, end - LABEL_SIZE - 3, width)] = None
    height = max(slot.centre + slot.height / 2 for slot in slots)
    return Layout(boxes, list(labels), drawn, ends[-1], height)
