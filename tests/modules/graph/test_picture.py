"""The picture of the graph: its text, its marks and its file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Tree

import pytest
from matplotlib.figure import Figure
from PIL import Image
from specs import specification_of

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph import picture
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.describe import describe
from tfx_fusion.modules.graph.layout import Box
from tfx_fusion.modules.graph.picture import draw_graph, graph_boxes
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
    }  # fmt: skip
    return specification_of(**{**parts, **changes})


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


def boxes_of(specification: Specification) -> dict[str, Box]:
    """The boxes by name, the output `size` as `output`."""
    fused = build(specification, INTERFACES, open_interface)
    boxes = graph_boxes(specification, describe(specification, INTERFACES, fused), fused)
    return {"output" if box.kind == "output" else box.name: box for box in boxes}


# The text


def test_the_svg_shows_the_names_of_every_node_and_the_specification(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    wanted = {"image", "place", "token", "vision", "pair", "words", "steps", "all", "size"}
    assert wanted <= set(found)
    assert found.count("size") == 2  # the layers and the output
    assert "pictured" in found


def test_nodes_show_the_shapes_of_their_outputs_without_the_batch(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    # The output has its name where several are used, the dtype is left out where it is float32.
    for shape in ("(8, 8, 3)", "features (6)", "scores (5)", "(?, 7)", "(3) int64", "(18)", "(1)"):
        assert f"→ {shape}" in found
    assert found.count("→ (4)") == 1


def test_inputs_are_named_where_a_sub_model_has_several(tmp_path: Path) -> None:
    found = texts(specify(), tmp_path)

    assert {"left ← vision.features", "right ← place"} <= set(found)
    assert "image ← image" not in found


def test_a_feature_that_only_slices_use_is_left_out(tmp_path: Path) -> None:
    assert "country" not in texts(specify(), tmp_path)


def test_a_frozen_sub_model_says_so_and_is_marked() -> None:
    boxes = boxes_of(specify())

    assert boxes["vision"].lines[:2] == ["frozen sub-model", "120 parameters"]
    assert {name: box.learning for name, box in boxes.items()} == {
        "image": "", "place": "", "token": "", "vision": "frozen", "pair": "frozen",
        "words": "trainable", "steps": "trainable", "all": "", "size": "trainable", "output": "",
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
    ("unfreeze", "lines", "learning"),
    [
        (({}, {"vision": "all"}),
         ["sub-model", "unfrozen in stage finetune", "120 parameters"], "partly trainable"),
        (({}, {"vision": {"last": 1}}),
         ["sub-model", "unfrozen in stage finetune", "120 parameters,", "20 trainable"],
         "partly trainable"),
        (({"vision": "all"}, {"vision": "all"}),
         ["sub-model", "unfrozen in every stage", "120 parameters"], "trainable"),
        (({"vision": {"last": 1}}, {"vision": {"last": 1}}),
         ["sub-model", "unfrozen in every stage", "120 parameters,", "20 trainable"],
         "partly trainable"),
    ],
)  # fmt: skip
def test_an_unfrozen_sub_model_names_the_stages(
    unfreeze: tuple[dict[str, Any], ...], lines: list[str], learning: str
) -> None:
    box = boxes_of(specify(training=staged(*unfreeze)))["vision"]

    assert box.lines == [*lines, "→ features (6)", "→ scores (5)"]
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

    lines = boxes_of(specify(training={"stages": stages}))["vision"].lines

    assert " ".join(lines[:3]) == "sub-model unfrozen in stages tune, end"


def test_a_sub_model_used_once_more_shows_whose_weights_it_has() -> None:
    specification = specify()
    parts = specification.model_dump(by_alias=True, exclude_unset=True)
    parts["submodels"]["twin"] = {"same_as": "vision", "inputs": {"image": "image"}}
    parts["graph"]["all"]["inputs"] = ["vision", "twin", "steps", "words", "place"]
    parts["training"] = staged({}, {"vision": "all"})

    lines = boxes_of(Specification.model_validate(parts))["twin"].lines

    assert lines[:3] == ["sub-model", "unfrozen in stage finetune", "same weights as vision"]


def test_new_layers_show_their_chain_and_their_trainable_weights() -> None:
    lines = {name: box.lines for name, box in boxes_of(specify()).items()}

    words = " ".join(lines["words"]).replace("\u00a0", " ")
    assert words == "Embedding → Flatten 18 parameters → (6)"
    # The GRU has 108; of those of BatchNormalization, its statistics follow the data.
    assert lines["steps"][-3:] == ["120 parameters,", "114 trainable", "→ (3)"]
    assert lines["all"] == ["concatenate", "→ (18)"]
    assert lines["output"] == ["output", "huber"]


def test_a_node_comes_after_what_feeds_it_and_names_each_source_once() -> None:
    boxes = boxes_of(specify())

    # "all" takes "vision" and "pair" takes "vision.features": one connection each.
    assert [box.name for box in boxes["all"].sources] == ["vision", "steps", "words", "place"]
    assert [box.name for box in boxes["pair"].sources] == ["vision", "place"]
    order = list(boxes.values())
    assert all(order.index(source) < order.index(box) for box in order for source in box.sources)


def test_the_title_counts_the_trainable_weights(tmp_path: Path) -> None:
    # 18 + 114 + 19 in new layers; 6 statistics and 240 weights of sub-models are not trained.
    assert "397 parameters, 151 trainable" in texts(specify(), tmp_path)


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


# The file


def test_a_png_has_the_colours_of_its_boxes(tmp_path: Path) -> None:
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


def test_folders_are_made_and_no_temporary_file_is_left(tmp_path: Path) -> None:
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
