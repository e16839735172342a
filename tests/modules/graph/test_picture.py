"""The picture of the graph: what it says, and that nothing in it covers anything else."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
from matplotlib.figure import Figure
from PIL import Image

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph import picture
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.layout import Box, Layout, Wire, layout, spread, text_width
from tfx_fusion.modules.graph.picture import draw_graph
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo
from tfx_fusion.modules.submodels.layer import SubmodelLayer

Shapes = dict[str, tuple[int | None, ...]]


def interface(inputs: Shapes, outputs: Shapes, **cuts: tuple[int, ...]) -> Interface:
    """A network of the layers `low` with 100 weights, where it can be cut, and `high` with 20."""
    return Interface(
        format="keras",
        inputs={name: TensorInfo(shape=shape, dtype="float32") for name, shape in inputs.items()},
        outputs={
            name: OutputInfo(shape=shape, dtype="float32", layer="high", activation="linear")
            for name, shape in outputs.items()
        },
        cuts={
            name: OutputInfo(shape=shape, dtype="float32", layer="low")
            for name, shape in cuts.items()
        },
        layers={
            "low": LayerInfo(weights={"low": 100}),
            "high": LayerInfo(inputs=("low",), weights={"high": 20}),
        },
        parameters=120,
    )


INTERFACES = {
    "vision": interface({"image": (8, 8, 3)}, {"scores": (5,)}, features=(6,)),
    "pair": interface({"left": (6,), "right": (4,)}, {"joined": (None, 7)}),
}
STAGES = [
    {"name": "head", "epochs": 1, "learning_rate": 0.1},
    {"name": "finetune", "epochs": 1, "learning_rate": 0.1},
]


def specify(**changes: Any) -> Specification:
    """An image network used at two places, one that takes two inputs, and two outputs."""
    parts = {
        "name": "pictured",
        "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
        "features": {
            "image": {"type": "image", "column": "image", "shape": [8, 8, 3]},
            "place": {"type": "number", "columns": ["a", "b", "c", "d"]},
            "token": {"type": "raw", "column": "t", "dtype": "int64", "shape": [3]},
            "country": {"type": "category", "column": "country", "classes": ["x", "y"]},
        },
        "labels": {"size": {"type": "number", "column": "s"}},
        "submodels": {
            "vision": {"path": "v.keras", "inputs": {"image": "image"}},
            "pair": {"path": "p.keras", "inputs": {"left": "vision.features", "right": "place"}},
        },
        "graph": {
            "words": {"layers": [{"Embedding": {"input_dim": 9, "output_dim": 2}}, "Flatten"],
                      "inputs": "token"},
            "steps": {"layers": [{"GRU": {"units": 3}}, "BatchNormalization"], "inputs": "pair"},
            "all": {"merge": "concatenate", "inputs": ["vision", "steps", "words", "place"]},
            "size": {"layers": [{"Dense": {"units": 1}}], "inputs": "all"},
        },
        "outputs": {"size": {"from": "size", "loss": "huber"}},
        "training": {"stages": STAGES},
        "evaluation": {"slices": ["country"]},
        "publish": {"path": "serving"},
    }  # fmt: skip
    return Specification.model_validate({**parts, **changes})


def staged(*unfreeze: dict[str, Any]) -> dict[str, Any]:
    """A training whose stages unfreeze what is given, one after the other."""
    return {"stages": [{**stage, "unfreeze": u} for stage, u in zip(STAGES, unfreeze, strict=True)]}


def draw(specification: Specification, path: Path) -> None:
    fused = build(specification, INTERFACES, open_interface)
    draw_graph(specification, INTERFACES, fused, path)


def texts(specification: Specification, folder: Path) -> list[str]:
    """All that is written in the SVG, line by line."""
    path = folder / "graph.svg"
    draw(specification, path)
    found = Tree.parse(path).iter("{http://www.w3.org/2000/svg}text")  # noqa: S314
    return ["".join(text.itertext()).replace("\u00a0", " ") for text in found]


def lines_of(specification: Specification) -> dict[str, list[str]]:
    """The lines in each box."""
    fused = build(specification, INTERFACES, open_interface)
    rows = picture.describe(specification, INTERFACES, fused)
    return {box.key: box.lines for box in picture.graph_boxes(specification, rows)}


# ------------------------------------------------------------------------------- what it says


def test_the_svg_names_every_node_and_the_specification(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    wanted = {"image", "place", "token", "vision", "pair", "words", "steps", "all", "size"}
    assert wanted <= set(found)
    assert found.count("size") == 2  # the layers and the output
    assert "pictured" in found


def test_connections_show_shapes_without_the_batch(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    # The name of an output stands where several are used, the dtype where it is not float32.
    for shape in ("(8, 8, 3)", "features (6)", "scores (5)", "(?, 7)", "(3) int64", "(18)", "(1)"):
        assert shape in found


def test_a_shape_stands_once_where_connections_begin_together(tmp_path: Path) -> None:
    assert texts(specify(), tmp_path).count("(4)") == 1


def test_inputs_are_named_where_a_sub_model_has_several(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    assert {"left", "right"} <= set(found)
    assert found.count("image") == 1  # the feature


def test_a_feature_that_only_slices_use_is_left_out(tmp_path: Path) -> None:
    assert "country" not in texts(specify(), tmp_path)


def test_a_frozen_sub_model_says_so_and_is_marked() -> None:
    specification = specify()
    fused = build(specification, INTERFACES, open_interface)
    rows = picture.describe(specification, INTERFACES, fused)
    boxes = {box.key: box for box in picture.graph_boxes(specification, rows)}

    assert boxes["vision"].lines == ["frozen sub-model", "120 parameters"]
    assert {key: box.learning for key, box in boxes.items()} == {
        "image": "", "place": "", "token": "", "vision": "frozen", "pair": "frozen",
        "words": "learns", "steps": "learns", "all": "", "size": "learns", "outputs.size": "",
    }  # fmt: skip


def test_the_svg_hatches_what_is_frozen(tmp_path: Path) -> None:
    def hatched(unfreeze: dict[str, Any]) -> int:
        draw(specify(training=staged(unfreeze, unfreeze)), tmp_path / "graph.svg")
        return (tmp_path / "graph.svg").read_text().count("fill: url(#")

    # Two boxes and one in the legend, one box and the legend, none.
    assert hatched({}) == 3
    assert hatched({"vision": "all"}) == 2
    assert hatched({"vision": "all", "pair": "all"}) == 0


@pytest.mark.parametrize(
    ("unfreeze", "told", "learning"),
    [
        (({}, {"vision": "all"}),
         ["sub-model", "unfrozen in stage finetune", "120 parameters"], "partly"),
        (({}, {"vision": {"last": 1}}),
         ["sub-model", "unfrozen in stage finetune", "120 parameters,", "20 of them learn"],
         "partly"),
        (({"vision": "all"}, {"vision": "all"}),
         ["sub-model", "unfrozen in every stage", "120 parameters"], "learns"),
        (({"vision": {"last": 1}}, {"vision": {"last": 1}}),
         ["sub-model", "unfrozen in every stage", "120 parameters,", "20 of them learn"],
         "partly"),
    ],
)  # fmt: skip
def test_an_unfrozen_sub_model_names_the_stages(
    unfreeze: tuple[dict[str, Any], ...], told: list[str], learning: str
) -> None:
    specification = specify(training=staged(*unfreeze))

    assert lines_of(specification)["vision"] == told
    fused = build(specification, INTERFACES, open_interface)
    rows = picture.describe(specification, INTERFACES, fused)
    [box] = [b for b in picture.graph_boxes(specification, rows) if b.key == "vision"]
    assert box.learning == learning


def test_several_stages_are_all_named() -> None:
    stages = [
        {"name": name, "epochs": 1, "learning_rate": 0.1, "unfreeze": unfreeze}
        for name, unfreeze in (
            ("head", {}),
            ("tune", {"vision": "all"}),
            ("end", {"vision": "all"}),
        )
    ]

    lines = lines_of(specify(training={"stages": stages}))["vision"]

    assert " ".join(lines) == "sub-model unfrozen in stages tune, end 120 parameters"


def test_a_sub_model_used_once_more_shows_whose_weights_it_has() -> None:
    specification = specify()
    parts = specification.model_dump(by_alias=True, exclude_unset=True)
    parts["submodels"]["twin"] = {"same_as": "vision", "inputs": {"image": "image"}}
    parts["graph"]["all"]["inputs"] = ["vision", "twin", "steps", "words", "place"]
    parts["training"] = staged({}, {"vision": "all"})

    lines = lines_of(Specification.model_validate(parts))["twin"]

    assert lines == ["sub-model", "unfrozen in stage finetune", "same weights as vision"]


def test_new_layers_show_their_chain_and_what_learns() -> None:
    lines = lines_of(specify())

    assert " ".join(lines["words"]).replace("\u00a0", " ") == "Embedding → Flatten 18 parameters"
    # The GRU has 108; of those of BatchNormalization, its statistics follow the data.
    assert lines["steps"][-2:] == ["120 parameters,", "114 of them learn"]
    assert lines["all"] == ["concatenate"]
    assert lines["outputs.size"] == ["output", "huber"]


def test_the_title_counts_what_learns(tmp_path: Path) -> None:
    # 18 + 114 + 19 in new layers; 6 statistics and 240 weights of sub-models do not learn.
    assert "397 parameters, 151 of them learn" in texts(specify(), tmp_path)


def test_interfaces_give_the_same_picture_as_the_sub_models(
    shared_world: Path, tmp_path: Path
) -> None:
    specification = load_specification(shared_world / "fusion.yaml")
    interfaces = {
        name: inspect_submodel(path).interface
        for name, (_, path) in specification.imported().items()
    }
    real = build(
        specification,
        interfaces,
        lambda name, _, taps: SubmodelLayer(specification.submodels[name].path, taps, None, name),
    )
    sketch = build(specification, interfaces, open_interface)

    draw_graph(specification, interfaces, real, tmp_path / "real.svg")
    draw_graph(specification, interfaces, sketch, tmp_path / "sketch.svg")

    assert (tmp_path / "real.svg").read_bytes() == (tmp_path / "sketch.svg").read_bytes()


# ------------------------------------------------------------------------------ where it stands


def made_up(seed: int, submodels: int) -> tuple[list[Box], list[Wire]]:
    """Features, sub-models of one or two inputs and outputs, merges, layers, outputs."""
    chance = random.Random(seed)
    boxes = [Box(f"f{i}", f"feature_{i}", "feature", ["image feature"]) for i in range(4)]
    wires = []
    for number in range(submodels):
        name = "m" * chance.randint(1, 30) + str(number)
        boxes.append(Box(name, name, "sub-model", ["frozen sub-model", "1 parameter"], "frozen"))
        sources = chance.sample(boxes[:-1], chance.randint(1, 2))
        for position, source in enumerate(sources):
            entry = f"input_{position}" if len(sources) > 1 else ""
            tap = chance.choice(["", "features", "block_12/out"])
            wires.append(Wire(source.key, tap, "(224, 224, 3)", name, entry))
    for number in range(submodels // 4 + 1):
        name = f"n{number}"
        kind = chance.choice(["merge", "new layers"])
        sources = chance.sample(boxes, chance.randint(2, len(boxes) - 1) if kind == "merge" else 1)
        boxes.append(Box(name, name, kind, ["concatenate"]))  # type: ignore[arg-type]
        wires += [Wire(source.key, "", "(224, 224, 3)", name) for source in sources]
    inner = boxes[4:]
    for number in range(2):
        boxes.append(Box(f"outputs.{number}", str(number), "output", ["output", "huber"]))
        wires.append(Wire(chance.choice(inner).key, "", "(224, 224, 3)", f"outputs.{number}"))
    return boxes, sorted(wires, key=lambda wire: (wire.source, wire.tap))


GRAPHS = [made_up(seed, submodels) for seed, submodels in enumerate((1, 2, 5, 8, 20, 20, 20, 40))]
Rectangle = tuple[float, float, float, float]


def rectangles(placed: Layout) -> list[Rectangle]:
    """Boxes and labels as left, top, right, bottom."""
    things = [*placed.boxes, *placed.labels]
    return [(thing.x, thing.y, thing.x + thing.width, thing.y + thing.height) for thing in things]


def overlap(one: Rectangle, other: Rectangle) -> bool:
    return (
        min(one[2], other[2]) - max(one[0], other[0]) > 1e-6
        and min(one[3], other[3]) - max(one[1], other[1]) > 1e-6
    )


@pytest.mark.parametrize(("boxes", "wires"), GRAPHS)
def test_no_box_or_shape_covers_another(boxes: list[Box], wires: list[Wire]) -> None:
    placed = layout(boxes, wires)

    assert not [pair for pair in combinations(rectangles(placed), 2) if overlap(*pair)]


@pytest.mark.parametrize(("boxes", "wires"), GRAPHS)
def test_no_connection_crosses_a_box_or_a_shape(boxes: list[Box], wires: list[Wire]) -> None:
    placed = layout(boxes, wires)

    for route in placed.routes:
        straight = [(run.start, run.y - 0.5, run.end, run.y + 0.5) for run in route]
        # A curve stays between the ends of the straight pieces it joins.
        curved = [
            (run.end, min(run.y, following.y), following.start, max(run.y, following.y))
            for run, following in pairwise(route)
        ]
        for piece in (*straight, *curved):
            assert piece[0] <= piece[2]
            assert not [other for other in rectangles(placed) if overlap(piece, other)]


@pytest.mark.parametrize(("boxes", "wires"), GRAPHS)
def test_a_connection_goes_from_the_right_of_its_source_to_the_left_of_its_target(
    boxes: list[Box], wires: list[Wire]
) -> None:
    placed = layout(boxes, wires)

    by_key = {box.key: box for box in placed.boxes}
    for wire, route in zip(wires, placed.routes, strict=True):
        source, target = by_key[wire.source], by_key[wire.target]
        assert route[0].start == pytest.approx(source.x + source.width)
        assert source.y < route[0].y < source.y + source.height
        assert route[-1].end == pytest.approx(target.x)
        assert target.y < route[-1].y < target.y + target.height


@pytest.mark.parametrize(("boxes", "wires"), GRAPHS)
def test_every_thing_lies_within_the_picture(boxes: list[Box], wires: list[Wire]) -> None:
    placed = layout(boxes, wires)

    for left, top, right, bottom in rectangles(placed):
        assert left >= -1e-6
        assert top >= -1e-6
        assert right <= placed.width + 1e-6
        assert bottom <= placed.height + 1e-6


@pytest.mark.parametrize(("boxes", "wires"), GRAPHS)
def test_the_text_of_a_box_fits_into_it(boxes: list[Box], wires: list[Wire]) -> None:
    for box in layout(boxes, wires).boxes:
        room = box.width - (picture.STRIP if box.learning else 0)
        assert text_width(box.name, picture.NAME_SIZE, bold=True) < room
        assert all(text_width(line, picture.TEXT_SIZE) < room for line in box.lines)
        assert box.height > picture.NAME_LINE + picture.TEXT_LINE * len(box.lines)


def test_a_layer_is_the_longest_way_from_the_features_and_outputs_stand_last() -> None:
    keys = ["a", "b", "short", "long", "longer", "end"]
    boxes = [Box(key, key, "new layers", []) for key in keys]
    boxes += [Box(f"outputs.{n}", n, "output", []) for n in ("early", "late")]
    ways = [
        "a short", "b long", "long longer", "longer end", "short end", "a end",
        "end outputs.late", "short outputs.early",
    ]  # fmt: skip
    wires = [Wire(way.split()[0], "", "(1)", way.split()[1]) for way in sorted(ways)]

    placed = {box.key: box for box in layout(boxes, wires).boxes}

    assert {key: box.layer for key, box in placed.items()} == {
        "a": 0, "b": 0, "short": 1, "long": 1, "longer": 2, "end": 3,
        "outputs.early": 4, "outputs.late": 4,
    }  # fmt: skip
    assert placed["a"].x < placed["short"].x < placed["longer"].x < placed["end"].x


def test_nodes_stand_in_the_order_of_what_feeds_them() -> None:
    names = list("abcdef")
    boxes = [Box(name, name, "feature", []) for name in names]
    boxes += [Box(f"{name}2", name, "sub-model", []) for name in reversed(names)]
    wires = [Wire(name, "", "(1)", f"{name}2") for name in names]

    placed = {box.key: box for box in layout(boxes, wires).boxes}

    downwards = sorted(names, key=lambda name: placed[name].y)
    assert downwards == sorted(names, key=lambda name: placed[f"{name}2"].y)


def test_a_chain_is_a_straight_line() -> None:
    boxes = [Box(str(number), str(number), "new layers", ["Dense"] * number) for number in range(5)]
    wires = [Wire(str(number), "", "(1)", str(number + 1)) for number in range(4)]

    placed = layout(boxes, wires)

    heights = [run.y for route in placed.routes for run in route]
    assert heights == pytest.approx([heights[0]] * len(heights))


def test_more_sub_models_make_a_larger_picture() -> None:
    def height(count: int) -> float:
        names = [f"m{number}" for number in range(count)]
        boxes = [Box("image", "image", "feature", ["image feature"])]
        boxes += [Box(name, name, "sub-model", ["frozen sub-model"]) for name in names]
        return layout(boxes, [Wire("image", "", "(8)", name) for name in names]).height

    assert height(20) == pytest.approx(10 * height(2))


def test_spreading_leaves_alone_what_has_room() -> None:
    assert spread([0.0, 10.0, 30.0], [10.0, 10.0, 10.0]) == [0.0, 10.0, 30.0]
    assert spread([], []) == []


def test_spreading_moves_apart_what_would_meet_around_its_middle() -> None:
    assert spread([5.0, 5.0], [10.0, 10.0]) == [0.0, 10.0]
    # The lower one wants to stand above: they keep their order.
    assert spread([8.0, 2.0, 50.0], [10.0, 10.0, 10.0]) == [0.0, 10.0, 50.0]


# -------------------------------------------------------------------------------- the file


def test_a_png_is_no_blank_page(tmp_path: Path) -> None:
    draw(specify(), tmp_path / "graph.png")

    with Image.open(tmp_path / "graph.png") as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
        assert image.width > image.height > 300
    assert colours is not None
    common = {colour for _, colour in sorted(colours, reverse=True)[:8]}
    fills = {tuple(bytes.fromhex(fill[1:])) for fill, _ in picture.COLOURS.values()}
    assert (255, 255, 255) in common
    assert fills <= common


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.svg", "other.svg", "one.png", "other.png"):
        draw(specify(), tmp_path / name)

    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "other.svg").read_bytes()
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_folders_are_made_and_nothing_is_left_aside(tmp_path: Path) -> None:
    draw(specify(), tmp_path / "new" / "folder" / "graph.svg")

    assert [path.name for path in (tmp_path / "new" / "folder").iterdir()] == ["graph.svg"]


def test_a_picture_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Figure, path: Path, **__: Any) -> None:
        path.write_text("half")
        raise OSError("no space left on device")

    (tmp_path / "graph.svg").write_text("the old one")
    monkeypatch.setattr(Figure, "savefig", fail)

    with pytest.raises(OSError, match="no space left"):
        draw(specify(), tmp_path / "graph.svg")

    assert (tmp_path / "graph.svg").read_text() == "the old one"
    assert len(list(tmp_path.iterdir())) == 1


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"graph\.pdf: expected a name that ends in \.svg or \.png"):
        draw(specify(), tmp_path / "graph.pdf")


def test_a_picture_needs_no_tensorflow() -> None:
    code = "import tfx_fusion.modules.graph.picture, sys; sys.exit('tensorflow' in sys.modules)"

    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "KERAS_BACKEND": "numpy"}
    )
