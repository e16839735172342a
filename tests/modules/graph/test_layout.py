"""The layout of the picture: nothing covers anything else, and connections end at their boxes."""

from __future__ import annotations

import random
from itertools import combinations, pairwise
from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch, Polygon
from matplotlib.text import Text

from tfx_fusion.modules.graph.layout import Box, layout
from tfx_fusion.modules.graph.picture import ARROW, draw_boxes

Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


class Drawn(NamedTuple):
    """A picture, and which nodes feed which by name."""

    boxes: list[Box]
    feeds: set[tuple[str, str]]
    figure: Figure

    @property
    def nodes(self) -> list[Box]:
        return [box for box in self.boxes if box.name]


def node(name: str, kind: str = "new layers", sources: list[Box] | None = None) -> Box:
    return Box(name, kind, ["Dense"], sources=sources or [])  # type: ignore[arg-type]


def made_up(seed: int, submodels: int) -> list[Box]:
    """Features, sub-models of one or two inputs, merges, layers, outputs."""
    chance = random.Random(seed)
    boxes = [Box(f"feature_{i}", "feature", ["image feature", "→ (224, 224, 3)"]) for i in range(4)]
    for number in range(submodels):
        name = "m" * chance.randint(1, 30) + str(number)
        lines = ["frozen sub-model", "1 parameter", "→ block_12/out (224, 224, 3)"]
        sources = chance.sample(boxes, chance.randint(1, 2))
        boxes.append(Box(name, "sub-model", lines, "frozen", sources))
    for number in range(submodels // 4 + 1):
        kind = chance.choice(["merge", "new layers"])
        count = chance.randint(2, len(boxes) - 1) if kind == "merge" else 1
        boxes.append(node(f"n{number}", kind, chance.sample(boxes, count)))
    ends = [node(f"out{number}", "output", [chance.choice(boxes[4:])]) for number in range(2)]
    return [*boxes, *ends]


@pytest.fixture(
    scope="module", params=enumerate((1, 2, 5, 8, 20, 20, 40)), ids=lambda p: f"{p[0]}-{p[1]}"
)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    nodes = made_up(*request.param)
    feeds = {(source.name, box.name) for box in nodes for source in box.sources}
    boxes = layout(nodes)
    return Drawn(boxes, feeds, draw_boxes(boxes, "made up", "many parameters"))


def rectangle(box: Box) -> Rectangle:
    return box.x, box.y - box.height / 2, box.x + box.width, box.y + box.height / 2


def text_rectangles(figure: Figure) -> list[Rectangle]:
    """The extents of the texts of the picture, without those of the legend."""
    figure.set_dpi(288)  # fonts are placed to the pixel
    renderer = FigureCanvasAgg(figure).get_renderer()
    [axes] = figure.axes
    back = axes.transData.inverted()
    found = []
    for text in axes.texts:
        assert isinstance(text, Text)
        (left, one), (right, other) = back.transform(text.get_window_extent(renderer).get_points())
        found.append((left, min(one, other), right, max(one, other)))
    return found


def connections(figure: Figure) -> list[np.ndarray]:
    """Points along every connection, close to one another."""
    [axes] = figure.axes
    lines = [patch for patch in axes.patches if isinstance(patch, PathPatch)]
    found = []
    for polygon in (p for line in lines for p in line.get_path().to_polygons(closed_only=False)):
        steps = np.linspace(0, 1, 20)[:, None]
        pieces = [a + steps * (b - a) for a, b in pairwise(polygon)]
        found.append(np.concatenate(pieces))
    return found


def inside(points: np.ndarray, rectangle: Rectangle, within: float = 0.5) -> bool:
    left, top, right, bottom = rectangle
    x, y = points[:, 0], points[:, 1]
    horizontally = (x > left + within) & (x < right - within)
    return bool((horizontally & (y > top + within) & (y < bottom - within)).any())


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        min(one[2], other[2]) - max(one[0], other[0]) > 1e-6
        and min(one[3], other[3]) - max(one[1], other[1]) > 1e-6
    )


def test_no_box_covers_another(drawn: Drawn) -> None:
    pairs = combinations(map(rectangle, drawn.nodes), 2)

    assert not [pair for pair in pairs if overlap(*pair)]


def test_every_text_stands_in_its_box_and_covers_no_other(drawn: Drawn) -> None:
    texts = text_rectangles(drawn.figure)[2:]  # after the title and the subtitle

    assert not [pair for pair in combinations(texts, 2) if overlap(*pair)]
    of_box = iter(texts)
    for box in drawn.nodes:
        left, top, right, bottom = rectangle(box)
        for _ in (box.name, *box.lines):
            text = next(of_box)
            assert left < text[0]
            assert top < text[1]
            assert text[2] < right
            assert text[3] < bottom


def test_no_connection_crosses_a_box(drawn: Drawn) -> None:
    lines = connections(drawn.figure)

    assert lines
    for box in drawn.nodes:
        assert not [line for line in lines if inside(line, rectangle(box))]


def test_every_connection_leads_from_the_right_of_its_source_to_the_left_of_its_target(
    drawn: Drawn,
) -> None:
    def origin(box: Box) -> str:
        return box.name or origin(box.sources[0])

    assert {(origin(s), b.name) for b in drawn.nodes for s in b.sources} == drawn.feeds
    [axes] = drawn.figure.axes
    tips = {tuple(p.get_xy()[0].round(3)) for p in axes.patches if isinstance(p, Polygon)}
    entries = {
        (round(box.x, 3), round(y, 3)) for box in drawn.nodes for y in box.entries().values()
    }
    assert tips == entries
    ends = {tuple(end.round(3)) for line in connections(drawn.figure) for end in line[[0, -1]]}
    exits = {(round(b.x + b.width, 3), round(b.y, 3)) for b in drawn.nodes if b.targets}
    assert exits <= ends
    assert {(round(x - ARROW, 3), y) for x, y in entries} <= ends
    for box in drawn.nodes:
        assert all(abs(y - box.y) < box.height / 2 for y in box.entries().values())


def test_everything_lies_within_the_figure(drawn: Drawn) -> None:
    [axes] = drawn.figure.axes
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    corners = [*map(rectangle, drawn.nodes), *text_rectangles(drawn.figure)]
    points = np.concatenate([*connections(drawn.figure), np.reshape(corners, (-1, 2))])

    assert left <= points[:, 0].min()
    assert points[:, 0].max() <= right
    assert top <= points[:, 1].min()
    assert points[:, 1].max() <= bottom


def test_columns_follow_the_longest_way_from_the_features_and_outputs_stand_last() -> None:
    a, b = node("a"), node("b")
    short, long = node("short", sources=[a]), node("long", sources=[b])
    longer = node("longer", sources=[long])
    end = node("end", sources=[longer, short, a])
    early, late = node("early", "output", [short]), node("late", "output", [end])

    layout([a, b, short, long, longer, end, early, late])

    assert [box.column for box in (a, b, short, long, longer, end, early, late)] == [
        0, 0, 1, 1, 2, 3, 4, 4,
    ]  # fmt: skip
    assert a.x < short.x < longer.x < end.x < late.x


def test_connections_of_one_node_pass_a_column_together() -> None:
    a = node("a")
    b = node("b", sources=[a])
    c = node("c", sources=[b])
    ends = [node(name, "output", [c, a]) for name in ("d", "e")]

    boxes = layout([a, b, c, *ends])

    assert sum(not box.name for box in boxes) == 2  # beside b and beside c


def test_nodes_stand_in_the_order_of_what_feeds_them() -> None:
    features = [node(name, "feature") for name in "abcdef"]
    submodels = [node(f"{box.name}2", "sub-model", [box]) for box in reversed(features)]

    layout([*features, *submodels])

    downwards = sorted(features, key=lambda box: box.y)
    assert sorted(submodels, key=lambda box: box.y) == [box.targets[0] for box in downwards]


def test_a_chain_is_a_straight_line() -> None:
    chain = [node("0")]
    for number in range(1, 5):
        chain.append(Box(str(number), "new layers", ["Dense"] * number, sources=[chain[-1]]))

    layout(chain)

    assert [box.y for box in chain] == pytest.approx([chain[0].y] * 5)


def test_more_sub_models_make_a_larger_picture() -> None:
    def height(count: int) -> float:
        image = node("image", "feature")
        submodels = [node(f"m{number}", "sub-model", [image]) for number in range(count)]
        layout([image, *submodels])
        ys = [box.y for box in submodels]
        return max(ys) - min(ys)

    assert height(21) == pytest.approx(20 * height(2))
