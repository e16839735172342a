"""Rows that lack a feature add nothing to the gradients of its branch, and never make them NaN."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from towers import SCORES, fuse, layers, raw, specify

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.missing import Finite
from tfx_fusion.modules.keras_compat import set_mask
from tfx_fusion.modules.spec import length_name, missing_name

ABSENT = np.array([0, 1, 0, 0, 1, 0])
SEQUENCE = {"type": "sequence", "column": "any", "shape": [3, 2], "missing": "allowed"}
VARIABLE = {**SEQUENCE, "variable": True}
VECTOR = {**raw(4), "missing": "allowed"}
LENGTHS = np.array([1, 0, 3, 2, 0, 3])
OTHER = np.random.default_rng(1).normal(size=(6, 2)).astype("float32")


def mean_of_steps(entry: Any) -> Any:
    """0 / 0 where no step counts."""
    steps = keras.layers.GRU(3, return_sequences=True)(entry)
    return keras.layers.GlobalAveragePooling1D()(steps)


def mean_of_steps_that_are_not_zeros(entry: Any) -> Any:
    return mean_of_steps(keras.layers.Masking()(entry))


def logarithm(entry: Any) -> Any:
    return keras.layers.Dense(3)(keras.ops.log(keras.ops.abs(entry)))


def by_its_norm(entry: Any) -> Any:
    """Of zeros 0 / 0, and the root has no gradient there."""
    made = keras.layers.Dense(3, use_bias=False)(entry)
    return made / keras.ops.sqrt(keras.ops.sum(made * made, axis=-1, keepdims=True))


def by_its_deviation(entry: Any) -> Any:
    made = keras.layers.Dense(3)(entry / keras.ops.std(entry, axis=-1, keepdims=True))
    return keras.layers.Dense(2)(made)


def given(feature: dict[str, Any], absent: np.ndarray) -> dict[str, Any]:
    """Rows as the product makes them: what is absent is zeros, without a step."""
    values = np.random.default_rng(2).normal(size=(6, *feature["shape"])).astype("float32")
    found = {"one": values, "other": OTHER, missing_name("one"): absent}
    if feature.get("variable"):
        found[length_name("one")] = np.where(absent, 0, np.maximum(LENGTHS, 1))
        values[np.arange(3) >= found[length_name("one")][:, None]] = 0
    values[absent == 1] = 0
    return found


def gradients_of(
    fused: FusedModel, variables: list[Any], given: dict[str, Any]
) -> list[np.ndarray]:
    with tf.GradientTape() as tape:
        answers = fused.model({k: tf.constant(v) for k, v in given.items()}, training=True)
        loss = tf.reduce_sum(tf.math.log(answers["answer"][:, 0]))
    found = tape.gradient(loss, [v.value for v in variables])
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in found]


@pytest.mark.parametrize(
    ("feature", "inside"),
    [(VARIABLE, mean_of_steps), (SEQUENCE, mean_of_steps_that_are_not_zeros),
     (VARIABLE, mean_of_steps_that_are_not_zeros), (VECTOR, logarithm), (VECTOR, by_its_norm),
     (VECTOR, by_its_deviation)],
)  # fmt: skip
def test_the_gradients_of_a_branch_are_those_of_the_rows_that_have_its_feature(
    feature: dict[str, Any], inside: Callable[[Any], Any], tmp_path: Path
) -> None:
    keras.utils.set_random_seed(3)
    entry = keras.Input(feature["shape"], name="entry")
    model = keras.Model(entry, inside(entry))
    model.save(tmp_path / "m.keras")
    fused = fuse(
        specify(
            features={"one": feature, "other": raw(2)},
            submodels={"m": {"path": str(tmp_path / "m.keras"), "inputs": {"entry": "one"}}},
            graph={
                "small": layers({"Dense": {"units": 2}}, inputs="m"),
                "joined": {"merge": "concatenate", "inputs": ["small", "other"]},
                "scores": layers(SCORES, inputs="joined"),
            },
        )
    )
    [imported] = fused.submodels.values()
    names = [name for name, layer in imported._graph.weighted_layers().items() if layer.weights]
    imported.unfreeze(names)
    [small], [scores] = fused.layers["small"], fused.layers["scores"]
    branch = [*imported.trainable_variables, *small.trainable_variables]
    rows = given(feature, ABSENT)

    found = gradients_of(fused, branch, rows)

    present = ABSENT == 0
    fed = tf.constant(rows["one"][present])
    if feature.get("variable"):
        set_mask(fed, tf.constant(np.arange(3) < rows[length_name("one")][present, None]))
    with tf.GradientTape() as tape:
        hidden = small(model(fed))
        chances = keras.ops.softmax(scores(keras.ops.concatenate([hidden, OTHER[present]], 1)))
        loss = tf.reduce_sum(tf.math.log(chances[:, 0]))
    mine = [*model.trainable_variables, *small.trainable_variables]
    wanted = tape.gradient(loss, [v.value for v in mine])
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    none = given(feature, np.ones(6, "int64"))
    assert not any(gradient.any() for gradient in gradients_of(fused, branch, none))


def test_words_that_a_row_lacks_add_nothing_to_new_layers_of_words() -> None:
    """An Embedding masks them all; the mean over none of them is 0 / 0."""
    lookup = {"StringLookup": {"vocabulary": ["red", "green"]}}
    embed = {"Embedding": {"input_dim": 3, "output_dim": 2, "mask_zero": True}}
    fused = fuse(
        specify(
            features={"one": {**raw(3, dtype="string"), "missing": "allowed"}, "other": raw(2)},
            graph={
                "words": layers(lookup, embed, {"GlobalAveragePooling1D": {}}, inputs="one"),
                "joined": {"merge": "concatenate", "inputs": ["words", "other"]},
                "scores": layers(SCORES, inputs="joined"),
            },
        )
    )
    words = np.array([["red", "green", "blue"]] * 6)
    words[ABSENT == 1] = ""
    [_, embedding, _] = fused.layers["words"]
    rows = {"one": words, "other": OTHER, missing_name("one"): ABSENT}

    [gradient] = gradients_of(fused, embedding.weights, rows)

    assert np.isfinite(gradient).all()
    assert gradient[1:].any(axis=1).all()
    assert not gradient[0].any()


def test_a_value_that_is_not_finite_is_replaced_only_where_the_feature_is_absent() -> None:
    value = np.array([[1, np.nan], [1, np.inf], [1, 2]], "float32")

    found = np.asarray(Finite("finite")(value, np.array([0, 1, 1])))

    np.testing.assert_array_equal(found, [[1, np.nan], [0, 0], [1, 2]])
