"""The resolved graph as rows: from features over sub-models and nodes to outputs."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.describe import NodeRow, describe, weight_count
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface, LayerInfo, OutputInfo, TensorInfo

VISION = Interface(
    format="keras",
    inputs={"image": TensorInfo(shape=(8, 8, 3), dtype="float32")},
    outputs={"scores": OutputInfo(shape=(3,), dtype="float32", layer="scores")},
    cuts={"features": OutputInfo(shape=(6,), dtype="float32", layer="features")},
    layers={
        "features": LayerInfo(weights={"features": 99}),
        "scores": LayerInfo(inputs=("features",), weights={"scores": 21}),
    },
    parameters=120,
)
TEXT = Interface(
    format="saved_model",
    inputs={"tokens": TensorInfo(shape=(5,), dtype="int64")},
    outputs={
        "steps": OutputInfo(shape=(None, 4), dtype="float32"),
        "pooled": OutputInfo(shape=(4,), dtype="float32"),
    },
    layers={"kernel": LayerInfo(weights={"kernel": 50})},
    parameters=50,
)


def rows_of(**changes: Any) -> dict[str, NodeRow]:
    parts = {
        "name": "described",
        "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
        "features": {
            "image": {"type": "image", "column": "image", "shape": [8, 8, 3]},
            "words": {"type": "raw", "column": "words", "dtype": "int64", "shape": [5]},
        },
        "labels": {"colour": {"type": "category", "column": "c", "classes": ["red", "green"]}},
        "submodels": {
            "vision": {"path": "v.keras", "inputs": {"image": "image"}, "output": "features"},
            "text": {"path": "t", "inputs": {"tokens": "words"}, "output": "pooled"},
        },
        "graph": {
            "scores": {"layers": ["BatchNormalization", {"Dense": {"units": 2}}], "inputs": "both"},
            "both": {"merge": "concatenate", "inputs": ["vision", "text"]},
        },
        "outputs": {"colour": {"from": "scores", "loss": "categorical_crossentropy"}},
        "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
        "publish": {"path": "serving"},
    }
    specification = Specification.model_validate({**parts, **changes})
    interfaces = {"vision": VISION, "text": TEXT}
    fused = build(specification, interfaces, open_interface)
    return {row.name: row for row in describe(specification, interfaces, fused)}


def test_rows_follow_the_data_from_features_to_outputs() -> None:
    names = list(rows_of())

    assert names[:2] == ["image", "words"]
    assert set(names[2:4]) == {"vision", "text"}
    assert names[4:] == ["both", "scores", "colour"]


def test_a_feature_shows_its_type_and_shape() -> None:
    rows = rows_of()

    assert rows["image"] == NodeRow("image", "image", "", "(8, 8, 3) float32", 0, 0)
    assert rows["words"] == NodeRow("words", "raw", "", "(5) int64", 0, 0)


def test_a_sub_model_shows_its_connections_and_counts_what_its_cut_needs() -> None:
    rows = rows_of()

    assert rows["vision"] == NodeRow(
        "vision", "sub-model", "image ← image", "features (6) float32", 0, 99
    )
    assert rows["text"] == NodeRow(
        "text", "sub-model", "tokens ← words", "pooled (4) float32", 0, 50
    )


def test_a_sub_model_with_several_used_outputs_shows_each_and_counts_the_deepest() -> None:
    both = {"merge": "concatenate", "inputs": ["vision.scores", "vision", "text"]}
    scores = {"layers": [{"Dense": {"units": 2}}], "inputs": "both"}

    row = rows_of(graph={"both": both, "scores": scores})["vision"]

    assert row.output == "features (6) float32, scores (3) float32"
    assert row.frozen == 120


def test_a_size_that_may_vary_is_shown_by_a_question_mark() -> None:
    graph = {
        "summed": {"layers": [{"GRU": {"units": 4}}], "inputs": "text.steps"},
        "both": {"merge": "concatenate", "inputs": ["vision", "summed"]},
        "scores": {"layers": [{"Dense": {"units": 2}}], "inputs": "both"},
    }

    assert rows_of(graph=graph)["text"].output == "steps (?, 4) float32"


def test_a_merge_shows_what_it_joins() -> None:
    assert rows_of()["both"] == NodeRow("both", "concatenate", "vision, text", "(10) float32", 0, 0)


def test_layers_show_their_chain_and_count_what_learns_apart_from_what_does_not() -> None:
    # BatchNormalization learns a scale and a shift; its moving statistics follow the data.
    assert rows_of()["scores"] == NodeRow(
        "scores", "BatchNormalization → Dense", "both", "(2) float32", 10 + 10 + 20 + 2, 10 + 10
    )


@pytest.mark.parametrize(
    ("label", "units", "loss"),
    [
        ({"type": "category", "column": "c", "classes": ["a", "b"]}, 2, "categorical_crossentropy"),
        ({"type": "category", "column": "c", "classes": ["a", "b"]}, 1, "binary_crossentropy"),
        ({"type": "number", "column": "c"}, 1, "huber"),
    ],
)
def test_an_output_shows_its_loss_and_the_node_it_comes_from(
    label: dict[str, Any], units: int, loss: str
) -> None:
    rows = rows_of(
        labels={"colour": label},
        graph={
            "both": {"merge": "concatenate", "inputs": ["vision", "text"]},
            "scores": {"layers": [{"Dense": {"units": units}}], "inputs": "both"},
        },
        outputs={"colour": {"from": "scores", "loss": loss}},
    )

    assert rows["colour"] == NodeRow(
        "colour", f"output, {loss}", "scores", f"({units}) float32", 0, 0
    )


def test_weights_are_counted_as_keras_counts_them() -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dense(5)])

    assert weight_count(model.weights) == model.count_params()
    assert weight_count([]) == 0
