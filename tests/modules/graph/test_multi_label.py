"""An output of several classes: each is a yes or no of its own, learnt as plain Keras learns it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from specs import specification_of

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.describe import describe
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.losses import compile_arguments

RANDOM = np.random.default_rng(4)
ROWS = RANDOM.normal(size=(12, 4)).astype("float32")
LABELS = RANDOM.integers(2, size=(12, 3)).astype("float32")
LABELS[0] = 0


def specify(*layers: Any, **output: Any) -> Specification:
    return specification_of(
        features={"one": {"type": "raw", "column": "one", "dtype": "float32", "shape": [4]}},
        labels={"tags": {"type": "multi_label", "column": "t", "classes": ["a", "b", "c"]}},
        graph={"scores": {"layers": list(layers), "inputs": "one"}},
        outputs={"tags": {"from": "scores", "loss": "binary_crossentropy", **output}},
    )


def fuse(specification: Specification) -> FusedModel:
    return build(specification, {}, open_interface)


def dense(**config: Any) -> dict[str, Any]:
    return {"Dense": {"units": 3, **config}}


def test_logits_become_a_probability_for_each_class_by_itself() -> None:
    fused = fuse(specify(dense()))

    [kernel, bias] = fused.model.get_weights()
    by_hand = 1 / (1 + np.exp(-(ROWS @ kernel + bias)))

    np.testing.assert_allclose(fused.model({"one": ROWS})["tags"], by_hand, rtol=0, atol=1e-6)


def test_a_sigmoid_is_left_as_it_is() -> None:
    fused = fuse(specify(dense(activation="sigmoid")))

    alone = fused.layers["scores"][-1](ROWS)

    np.testing.assert_array_equal(fused.model({"one": ROWS})["tags"], alone)


def test_the_loss_and_its_gradients_are_those_of_a_model_composed_by_hand() -> None:
    specification = specify(dense())
    fused = fuse(specification)
    entry = keras.Input((4,))
    plain = keras.Model(entry, keras.layers.Dense(3, activation="sigmoid")(entry))
    plain.set_weights(fused.model.get_weights())

    def loss_and_gradients(model: keras.Model, inputs: Any, labels: Any) -> tuple[float, list]:
        with tf.GradientTape() as tape:
            loss = model.compute_loss(inputs, labels, model(inputs))
        variables = [variable.value for variable in model.trainable_variables]
        return float(loss), [gradient.numpy() for gradient in tape.gradient(loss, variables)]

    fused.model.compile("sgd", **compile_arguments(specification))
    plain.compile("sgd", keras.losses.BinaryCrossentropy())
    loss, gradients = loss_and_gradients(fused.model, {"one": ROWS}, {"tags": LABELS})
    wanted_loss, wanted_gradients = loss_and_gradients(plain, ROWS, LABELS)

    assert loss == pytest.approx(wanted_loss, rel=1e-6)
    for gradient, wanted in zip(gradients, wanted_gradients, strict=True):
        assert np.abs(wanted).max() > 0.01
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-7)


def test_the_resolved_graph_shows_the_output_with_its_classes() -> None:
    specification = specify(dense())

    row = describe(specification, {}, fuse(specification))[-1]

    assert (row.kind, row.output) == ("output, binary_crossentropy", "(3) float32")


@pytest.mark.parametrize("units", [1, 2, 4])
def test_a_node_needs_a_unit_for_each_class(units: int) -> None:
    with pytest.raises(SpecificationError) as caught:
        fuse(specify({"Dense": {"units": units}}))

    assert caught.value.problems == [
        f"outputs.tags.from: expected (3) for 3 classes, found ({units}) float32"
    ]


@pytest.mark.parametrize("last", [[dense(activation="softmax")], [dense(), "Softmax"]])
def test_a_softmax_is_refused_since_its_classes_exclude_one_another(last: list[Any]) -> None:
    with pytest.raises(SpecificationError) as caught:
        fuse(specify(*last))

    assert caught.value.problems == [
        "outputs.tags.from: 'scores' ends in softmax, whose classes exclude one another: "
        "a label of type multi_label needs logits or sigmoid"
    ]
