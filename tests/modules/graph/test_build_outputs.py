"""What an output predicts: logits become probabilities, and units fit the label and the loss."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from towers import (
    COLOURS,
    CROSSENTROPY,
    NUMBER,
    SCORES,
    TWO_CLASSES,
    Towers,
    fuse,
    layers,
    pretrained,
    problems_of,
    raw,
    rows,
    specify,
    submodel,
)

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.spec import Specification


def assert_asks_for_logits(problem: str, name: str) -> None:
    assert problem.startswith("outputs.answer.from_logits: ")
    assert f"whether '{name}' gives logits or probabilities is not known" in problem
    assert problem.endswith("write from_logits: true or false")


def prediction(fused: FusedModel, before: Any, inputs: dict[str, np.ndarray]) -> tuple[Any, Any]:
    """What an inner tensor is, and what the model answers."""
    return keras.Model(fused.model.input, [before, fused.model.output["answer"]])(inputs)


@pytest.mark.parametrize("activation", [None, "linear"])
def test_a_dense_without_activation_gives_logits_and_gets_a_softmax(
    activation: str | None,
) -> None:
    dense = {"Dense": {"units": 3, "activation": activation}}
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(dense, inputs="one")}))

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_allclose(answer, keras.ops.softmax(scores), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "last", [[{"Dense": {"units": 3, "activation": "softmax"}}], [SCORES, "Softmax"],
             [SCORES, {"Activation": {"activation": "softmax"}}]],
    ids=["activation of the layer", "layer Softmax", "layer Activation"],
)  # fmt: skip
def test_probabilities_are_left_as_they_are(last: list[Any]) -> None:
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(*last, inputs="one")}))

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_array_equal(answer, scores)
    np.testing.assert_allclose(np.sum(answer, axis=1), np.ones(5), rtol=0, atol=1e-6)


def test_a_sub_model_that_ends_in_softmax_answers_as_it_does_alone(towers: Towers) -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            graph={},
            submodels={"alone": submodel(towers.classifier, "one")},
            output={"from": "alone", "loss": "categorical_crossentropy"},
        )
    )

    wanted = pretrained(towers.classifier, "scores")(rows(4))

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def test_a_sub_model_that_ends_in_logits_gets_a_softmax(towers: Towers) -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            graph={},
            submodels={"alone": submodel(towers.left, "one")},
            output={"from": "alone", "loss": "categorical_crossentropy"},
        )
    )

    wanted = keras.ops.softmax(pretrained(towers.left, "scores")(rows(4)))

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def from_savedmodel(towers: Towers, **more: Any) -> Specification:
    return specify(
        {"one": raw(4)},
        graph={},
        submodels={"alone": submodel(towers.saved_model, "one")},
        output={"from": "alone", "loss": "categorical_crossentropy", **more},
    )


def test_a_savedmodel_as_the_last_node_must_state_whether_it_gives_logits(
    towers: Towers,
) -> None:
    assert problems_of(from_savedmodel(towers)) == [
        "outputs.answer.from_logits: whether 'alone' gives logits or probabilities is not known: "
        "write from_logits: true or false"
    ]


@pytest.mark.parametrize("from_logits", [True, False])
def test_what_is_stated_about_logits_is_believed(from_logits: bool, towers: Towers) -> None:
    fused = fuse(from_savedmodel(towers, from_logits=from_logits))
    loaded = tf.saved_model.load(str(towers.saved_model))
    [alone] = loaded.signatures["serving_default"](entry=tf.constant(rows(4))).values()
    wanted = keras.ops.softmax(alone) if from_logits else alone

    np.testing.assert_allclose(fused.model({"one": rows(4)})["answer"], wanted, rtol=0, atol=1e-6)


def averaged(towers: Towers, **more: Any) -> Specification:
    return specify(
        {"one": raw(4), "other": raw(4)},
        graph={"scores": {"merge": "average", "inputs": ["first", "second"]}},
        submodels={
            "first": submodel(towers.classifier, "one"),
            "second": submodel(towers.classifier, "other"),
        },
        output={**CROSSENTROPY, **more},
    )


def test_averaged_probabilities_are_not_squeezed_through_a_softmax_again(towers: Towers) -> None:
    fused = fuse(averaged(towers, from_logits=False))
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    scores = pretrained(towers.classifier, "scores")

    wanted = (scores(inputs["one"]) + scores(inputs["other"])) / 2

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)


def test_a_merge_as_the_last_node_must_state_whether_it_gives_logits(towers: Towers) -> None:
    [problem] = problems_of(averaged(towers))

    assert_asks_for_logits(problem, "scores")


def test_a_layer_whose_activation_is_unknown_needs_it_stated() -> None:
    last = [{"Dense": {"units": 3, "activation": "softmax"}}, {"Dropout": {"rate": 0.5}}]
    graph = {"scores": layers(*last, inputs="one")}

    [problem] = problems_of(specify({"one": raw(4)}, graph))

    assert_asks_for_logits(problem, "scores")


def test_a_binary_output_is_one_probability() -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
            label=TWO_CLASSES,
            output={"from": "scores", "loss": "binary_crossentropy"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    assert answer.shape == (5, 1)
    np.testing.assert_allclose(answer, keras.ops.sigmoid(scores), rtol=0, atol=1e-6)


def test_a_binary_output_that_ends_in_sigmoid_is_left_as_it_is() -> None:
    dense = {"Dense": {"units": 1, "activation": "sigmoid"}}
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers(dense, inputs="one")},
            label=TWO_CLASSES,
            output={"from": "scores", "loss": "binary_crossentropy"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    np.testing.assert_array_equal(answer, scores)


def test_a_number_leaves_as_it_is() -> None:
    fused = fuse(
        specify(
            {"one": raw(4)},
            {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
            label=NUMBER,
            output={"from": "scores", "loss": "mean_squared_error"},
        )
    )

    scores, answer = prediction(fused, fused.tensors["scores"], {"one": rows(4)})

    assert answer.shape == (5, 1)
    np.testing.assert_array_equal(answer, scores)


def test_predictions_leave_in_float32_whatever_the_layers_compute_in() -> None:
    dense = {"Dense": {"units": 3, "dtype": "float16"}}
    fused = fuse(specify({"one": raw(4)}, {"scores": layers(dense, inputs="one")}))

    assert fused.tensors["scores"].dtype == "float16"
    assert fused.model.output["answer"].dtype == "float32"


@pytest.mark.parametrize(
    ("label", "loss", "units", "reported"),
    [
        (COLOURS, "categorical_crossentropy", 4, "expected (3) for 3 classes, found (4) float32"),
        (TWO_CLASSES, "categorical_crossentropy", 1,
         "expected (2) for 2 classes, found (1) float32"),
        (TWO_CLASSES, "binary_crossentropy", 2,
         "expected (1) for binary_crossentropy, found (2) float32"),
        (NUMBER, "mean_squared_error", 2,
         "expected (1) for a label of type number, mean_squared_error, found (2) float32"),
    ],
)  # fmt: skip
def test_a_number_of_units_that_does_not_fit_the_label_is_reported(
    label: dict[str, Any], loss: str, units: int, reported: str
) -> None:
    specification = specify(
        {"one": raw(4)},
        {"scores": layers({"Dense": {"units": units}}, inputs="one")},
        label=label,
        output={"from": "scores", "loss": loss},
    )

    assert problems_of(specification) == [f"outputs.answer.from: {reported}"]


def test_a_binary_crossentropy_wants_two_classes() -> None:
    specification = specify(
        {"one": raw(4)},
        {"scores": layers({"Dense": {"units": 1}}, inputs="one")},
        output={"from": "scores", "loss": "binary_crossentropy"},
    )

    assert problems_of(specification) == [
        "outputs.answer.loss: binary_crossentropy needs a label of two classes, found 3: "
        "use categorical_crossentropy"
    ]


def from_feature(**more: Any) -> Specification:
    guess = {"type": "category", "column": "guess", "classes": ["red", "green", "blue"]}
    return specify(
        {"guess": guess}, {}, output={"from": "guess", "loss": CROSSENTROPY["loss"], **more}
    )


def test_a_feature_can_be_the_output_but_must_state_whether_it_gives_logits() -> None:
    assert fuse(from_feature(from_logits=False)).model.output["answer"].shape == (None, 3)
    [problem] = problems_of(from_feature())
    assert_asks_for_logits(problem, "guess")
