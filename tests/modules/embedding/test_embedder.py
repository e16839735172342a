"""The frozen part of a graph as a function of stored rows, against Keras on the decoded ones."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from tfx_fusion.modules.embedding.embedder import (
    MAX_BATCH,
    MIN_BATCH,
    Embedder,
    RejectedRow,
    batch_size,
    mask_name,
)
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface, OutputInfo, TensorInfo

pytestmark = pytest.mark.component


def plan_of(specification: Specification) -> tuple[EmbeddingPlan, dict[str, Interface]]:
    interfaces = {
        name: inspect_submodel(path).interface
        for name, (_, path) in specification.imported().items()
    }
    [stage] = plan_stages(specification, build(specification, interfaces, open_interface))
    assert stage.plan is not None
    return stage.plan, interfaces


def embedded(
    specification: Specification,
    inputs: Any,
    folder: Path,
    rejected: list[RejectedRow] | None = None,
) -> dict[str, np.ndarray]:
    """All columns of the training rows, from batches of any size."""
    plan, interfaces = plan_of(specification)
    copies = {name: folder / name for name in interfaces}
    for name, (_, path) in specification.imported().items():
        copy_submodel(path, copies[name])
    embedder = Embedder(plan, interfaces, copies, str(inputs.transform_graph / "transform_fn"))
    [file] = inputs.splits["train"].iterdir()
    batches = list(embedder.batches(str(file), rejected))
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def test_embeddings_labels_and_row_ids_are_those_of_the_rows_in_their_order(
    world: Path, shared_training_inputs: Any, tmp_path: Path
) -> None:
    columns = embedded(load_specification(world / "fusion.yaml"), shared_training_inputs, tmp_path)
    with (world / "data" / "rows.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[:60]
    paths = [world / "data" / row["image_path"] for row in rows]
    pixels = np.array([np.asarray(Image.open(path)) for path in paths], "float32") / 255
    whole = keras.saving.load_model(world / "models" / "vision.keras")
    vision = keras.Model(whole.input, whole.get_layer("features").output)

    assert set(columns) == {"vision.features", "text.features", "colour", "row_id"}
    np.testing.assert_allclose(columns["vision.features"], vision(pixels), atol=1e-5)
    assert columns["row_id"].tolist() == [f"row {number}".encode() for number in range(60)]
    classes = ["red", "green", "blue"]
    assert [classes[place] for place in columns["colour"]] == [row["colour"] for row in rows]


def test_an_image_that_the_head_reads_is_passed_on_encoded(
    world: Path, shared_training_inputs: Any, tmp_path: Path
) -> None:
    file = world / "fusion.yaml"
    text = file.read_text().replace("[vision, text]", "[flat, vision, text]")
    file.write_text(
        text.replace("  joined:", "  flat: {layers: [Flatten], inputs: image}\n  joined:")
    )
    columns = embedded(load_specification(file), shared_training_inputs, tmp_path)

    assert columns["image"].tolist()[0] == (world / "data" / "images" / "0.png").read_bytes()


def test_a_row_with_a_value_that_is_not_finite_is_left_out(
    world: Path, shared_training_inputs: Any, tmp_path: Path
) -> None:
    tokens = keras.Input((6,), name="tokens")
    # The logarithm of 0 wherever a row does not say "very", as every second one does.
    answer = keras.layers.Activation("log_softmax")(keras.ops.log(tokens[:, 4:5]))
    keras.Model(tokens, answer, name="text").save(world / "models" / "text.keras")
    file = world / "fusion.yaml"
    text = file.read_text().replace("models/text, ", "models/text.keras, ")
    file.write_text(text.replace("tokens: words}, output: features", "tokens: words}"))

    rejected: list[RejectedRow] = []
    columns = embedded(load_specification(file), shared_training_inputs, tmp_path, rejected)

    reason = (
        "expected finite values, found NaN or infinity: look at the row, or whether the sub-model "
        "gets the range it was trained on"
    )
    assert rejected == [
        RejectedRow(place, f"row {place}", "text.activation", reason) for place in range(1, 60, 2)
    ]
    assert columns["row_id"].tolist() == [f"row {place}".encode() for place in range(0, 60, 2)]
    assert np.isfinite(columns["text.activation"]).all()


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int32"])
def test_half_precision_is_looked_at_for_numbers_too(dtype: str) -> None:
    from tfx_fusion.modules.embedding.embedder import _finite

    values = np.array([[1.0, 1.0], [np.inf, 1.0], [np.nan, 1.0]])
    whole = dtype == "int32"
    cast = keras.ops.cast(np.zeros((3, 2)) if whole else values, dtype)

    assert _finite(keras.ops.convert_to_numpy(cast)).tolist() == [True, whole, whole]


def test_a_row_that_lacks_what_an_embedding_is_made_of_is_usable(
    tmp_path: Path, prepare_training: Callable[[Specification], Any]
) -> None:
    steps = keras.Input((None, 2), name="steps")
    total = keras.ops.sum(steps, axis=(1, 2), keepdims=True)[:, 0]
    root = keras.ops.sqrt(3.25 - total)  # NaN of what stands for a sequence that is not there
    keras.Model(steps, keras.layers.Activation("linear", name="root")(root)).save(
        tmp_path / "ear.keras"
    )
    lines = ["id,sound,n,y"]
    lines += [f"{row},{'' if row % 3 else '[[1, 2]]'},1,{row}" for row in range(9)]
    text = [line.replace("[[1, 2]]", '"[[1, 2]]"') for line in lines]
    (tmp_path / "rows.csv").write_text("\n".join(text) + "\n")
    (tmp_path / "fusion.yaml").write_text(
        """\
name: sounds
data: {path: rows.csv, split: {by: id, train: 0.5, eval: 0.5}}
features:
  sound: {type: sequence, column: sound, shape: [3, 2], variable: true, missing: allowed}
  n: {type: number, column: n}
labels: {y: {type: number, column: y}}
submodels: {ear: {path: ear.keras, inputs: {steps: sound}}}
graph:
  joined: {merge: concatenate, inputs: [ear, n]}
  y: {layers: [Dense: {units: 1}], inputs: joined}
outputs: {y: {from: y, loss: huber}}
training: {stages: [{name: head, epochs: 1, learning_rate: 0.1}]}
publish: {path: serving}
"""
    )
    specification = load_specification(tmp_path / "fusion.yaml")
    rejected: list[RejectedRow] = []
    inputs = prepare_training(specification)

    columns = embedded(specification, inputs, tmp_path / "copies", rejected)

    assert rejected == []
    assert columns["ear.root"].tolist() == [[0.5], [0], [0]] * 2
    assert "lacks ear.mean" not in columns


# ---------------------------------------------------------------------------------- batches


def interface(**cuts: tuple[int | None, ...]) -> Interface:
    """A sub-model that takes and gives one number, with larger tensors inside."""
    return Interface(
        format="keras",
        inputs={"x": TensorInfo(shape=(1,), dtype="float32")},
        outputs={"y": OutputInfo(shape=(1,), dtype="float32")},
        cuts={name: OutputInfo(shape=shape, dtype="float32") for name, shape in cuts.items()},
        parameters=1,
    )


@pytest.mark.parametrize(
    ("inside", "rows"),
    [
        ((1,), MAX_BATCH),
        ((112, 112, 64), 16),  # the largest of VGG's are 4 × as large
        ((224, 224, 64), MIN_BATCH),
        ((1000, 1000, 1000), MIN_BATCH),
        ((None, 512), MAX_BATCH),  # what may vary does not count
    ],
)
def test_a_batch_is_sized_by_the_largest_activation(inside: Any, rows: int) -> None:
    plan = EmbeddingPlan.model_validate(
        {
            "features": {},
            "labels": {},
            "submodels": {"a": {"path": "a.keras", "inputs": {"x": "f"}}},
            "embeddings": ["a.y"],
            "passed": [],
            "precision": "float32",
        }
    )
    assert batch_size(plan, {"a": interface(conv=inside)}) == rows


def test_a_mask_stands_beside_its_embedding(
    tmp_path: Path, prepare_training: Callable[[Specification], Any]
) -> None:
    assert mask_name("ear.read") == "mask of ear.read"
    steps = keras.Input((None, 2), name="steps")
    read = keras.layers.SimpleRNN(3, return_sequences=True, name="read")(steps)
    keras.Model(steps, read).save(tmp_path / "ear.keras")
    lines = ["id,sound,y"]
    for row in range(6):
        steps = np.zeros((1 + row % 3, 2), "float32")  # like the padding, and steps all the same
        np.save(tmp_path / f"{row}.npy", steps)
        lines.append(f"{row},{row}.npy,{row}")
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "fusion.yaml").write_text(
        """\
name: sounds
data: {path: rows.csv, split: {by: id, train: 0.5, eval: 0.5}}
features: {sound: {type: sequence, column: sound, shape: [3, 2], variable: true}}
labels: {y: {type: number, column: y}}
submodels: {ear: {path: ear.keras, inputs: {steps: sound}}}
graph: {y: {layers: [SimpleRNN: {units: 1}], inputs: ear}}
outputs: {y: {from: y, loss: huber}}
training: {stages: [{name: head, epochs: 1, learning_rate: 0.1}]}
publish: {path: serving}
"""
    )
    specification = load_specification(tmp_path / "fusion.yaml")
    columns = embedded(specification, prepare_training(specification), tmp_path / "copies")

    mask = columns["mask of ear.read"]
    assert (mask.dtype, mask.tolist()) == (
        np.dtype(bool),
        [[True, False, False], [True, True, False], [True, True, True], [True, False, False]],
    )
    assert columns["y"].tolist() == [[0], [1], [2], [3]]
