"""The fused model is the model one would compose by hand in plain Keras.

The oracle calls the pretrained models and layers of Keras one after the other, with the weights of
the fused model's new layers copied over.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from towers import (
    CROSSENTROPY,
    SCORES,
    Towers,
    fuse,
    interfaces_of,
    layers,
    pretrained,
    raw,
    rows,
    sketch,
    specify,
    submodel,
)

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.describe import describe
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.spec import Evaluation, Specification, load_specification
from tfx_fusion.modules.submodels.layer import SubmodelLayer


@pytest.fixture(scope="module")
def two_towers(towers: Towers) -> Specification:
    return specify(
        features={"one": raw(4), "other": raw(4)},
        submodels={
            "left": submodel(towers.left, "one", output="features"),
            "right": submodel(towers.right, "other", output="scores"),
        },
        graph={
            "joined": {"merge": "concatenate", "inputs": ["left", "right", "one"]},
            "hidden": layers({"Dense": {"units": 5, "activation": "relu"}}, inputs="joined"),
            "scores": layers(SCORES, inputs="hidden"),
        },
    )


def compose_two_towers(towers: Towers, fused: FusedModel) -> Callable[[dict[str, Any]], Any]:
    left, right = pretrained(towers.left, "features"), pretrained(towers.right, "scores")
    hidden, scores = keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")
    hidden.build((None, 6 + 3 + 4))
    scores.build((None, 5))
    hidden.set_weights(fused.layers["hidden"][0].get_weights())
    scores.set_weights(fused.layers["scores"][0].get_weights())

    def by_hand(inputs: dict[str, Any]) -> Any:
        parts = [left(inputs["one"]), right(inputs["other"]), inputs["one"]]
        return scores(hidden(keras.ops.concatenate(parts, axis=-1)))

    by_hand.trainable = [*hidden.weights, *scores.weights]  # type: ignore[attr-defined]
    return by_hand


def test_the_outputs_are_those_of_the_composition_by_hand(
    towers: Towers, two_towers: Specification
) -> None:
    fused = fuse(two_towers)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    wanted = compose_two_towers(towers, fused)(inputs)

    for training in (False, True):
        given = fused.model(inputs, training=training)
        assert list(given) == ["answer"]
        np.testing.assert_allclose(given["answer"], wanted, rtol=0, atol=1e-6)


def test_what_learns_is_the_head_and_nothing_else(two_towers: Specification) -> None:
    model = fuse(two_towers).model
    hidden, scores = (6 + 3 + 4) * 5 + 5, 5 * 3 + 3
    left, right = 4 * 4 + 4 * 6 + 6, 4 * 4 + 4 * 6 + 6 + 6 * 3 + 3

    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    frozen = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)

    assert trainable == hidden + scores
    assert frozen == left + right


def test_the_gradients_are_those_of_the_composition_by_hand(
    towers: Towers, two_towers: Specification
) -> None:
    fused = fuse(two_towers)
    by_hand = compose_two_towers(towers, fused)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    loss = keras.losses.SparseCategoricalCrossentropy()
    answers = np.array([0, 1, 2, 1, 0])

    with tf.GradientTape(persistent=True) as tape:
        given = loss(answers, fused.model(inputs, training=True)["answer"])
        wanted = loss(answers, by_hand(inputs))
    head = [weight.value for weight in fused.model.trainable_weights]
    given_gradients = tape.gradient(given, head)
    wanted_gradients = tape.gradient(wanted, [weight.value for weight in by_hand.trainable])

    assert float(given) == pytest.approx(float(wanted), abs=1e-6)
    assert len(given_gradients) == len(wanted_gradients) == 4
    for one, other in zip(given_gradients, wanted_gradients, strict=True):
        assert np.abs(np.asarray(other)).max() > 1e-3
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("merge", "by_hand"),
    [
        ("concatenate", lambda one, other: np.concatenate([one, other], axis=-1)),
        ("add", lambda one, other: one + other),
        ("multiply", lambda one, other: one * other),
        ("average", lambda one, other: (one + other) / 2),
        ("maximum", np.maximum),
    ],
)
def test_each_merge_joins_as_its_name_says(
    merge: str, by_hand: Callable[[np.ndarray, np.ndarray], np.ndarray]
) -> None:
    specification = specify(
        features={"one": raw(4), "other": raw(4)},
        graph={
            "scores": layers(SCORES, inputs="joined"),
            "joined": {"merge": merge, "inputs": ["one", "other"]},
        },
    )
    fused = fuse(specification)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}

    joined = keras.Model(fused.model.input, fused.tensors["joined"])(inputs)

    np.testing.assert_allclose(joined, by_hand(*inputs.values()), rtol=0, atol=1e-6)


def test_the_output_of_one_sub_model_feeds_the_next(towers: Towers, tmp_path: Path) -> None:
    entry = keras.Input((6,), name="entry")
    following = keras.Model(entry, keras.layers.Dense(2, activation="relu", name="pair")(entry))
    following.save(tmp_path / "following.keras")
    specification = specify(
        features={"one": raw(4)},
        submodels={
            "second": submodel(tmp_path / "following.keras", "first.features"),
            "first": submodel(towers.left, "one"),
        },
        graph={
            "joined": {"merge": "concatenate", "inputs": ["second", "first"]},
            "scores": layers(SCORES, inputs="joined"),
        },
    )
    fused = fuse(specification)
    inputs = {"one": rows(4)}
    features, scores = pretrained(towers.left, "features"), pretrained(towers.left, "scores")
    parts = [following(features(inputs["one"])), scores(inputs["one"])]
    kernel, bias = fused.layers["scores"][0].get_weights()
    wanted = keras.ops.softmax(np.concatenate(parts, axis=-1) @ kernel + bias)

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)
    # The first is run once for both of its outputs.
    assert [layer.name for layer in fused.model.layers if isinstance(layer, SubmodelLayer)] == [
        "first", "second",
    ]  # fmt: skip


def test_a_sub_model_behind_a_new_layer_lets_the_gradient_through(towers: Towers) -> None:
    specification = specify(
        features={"many": raw(9)},
        submodels={"left": submodel(towers.left, "narrowed")},
        graph={
            "narrowed": layers({"Dense": {"units": 4}}, inputs="many"),
            "scores": layers(SCORES, inputs="left"),
        },
    )
    fused = fuse(specification)

    with tf.GradientTape() as tape:
        total = tf.reduce_sum(fused.model({"many": rows(9)}, training=True)["answer"][:, 0])
    kernel = fused.layers["narrowed"][0].kernel.value

    assert np.abs(tape.gradient(total, kernel)).max() > 1e-4


def test_equal_names_inside_two_files_do_not_clash(two_towers: Specification) -> None:
    fused = fuse(two_towers)
    left, right = fused.submodels["left"], fused.submodels["right"]
    before = [np.asarray(weight) for weight in (*left.weights, *right.weights)]
    fused.model.compile("adam", {"answer": "sparse_categorical_crossentropy"})

    fused.model.fit({"one": rows(4), "other": rows(4)}, {"answer": np.zeros(5, "int64")}, verbose=0)

    assert not np.array_equal(left.weights[0], right.weights[0])
    for old, new in zip(before, (*left.weights, *right.weights), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_file_serves_under_two_names(towers: Towers) -> None:
    specification = specify(
        features={"one": raw(4), "other": raw(4)},
        submodels={
            "left": submodel(towers.left, "one"),
            "again": submodel(towers.left, "other"),
        },
        graph={
            "scores": {"merge": "add", "inputs": ["left", "again"]},
        },
        output={**CROSSENTROPY, "from_logits": True},
    )
    fused = fuse(specification)
    inputs = {"one": rows(4, seed=5), "other": rows(4, seed=6)}
    scores = pretrained(towers.left, "scores")

    wanted = keras.ops.softmax(scores(inputs["one"]) + scores(inputs["other"]))

    np.testing.assert_allclose(fused.model(inputs)["answer"], wanted, rtol=0, atol=1e-6)


def test_a_feature_that_only_slices_use_is_no_input_of_the_model() -> None:
    region = {"type": "category", "column": "region", "classes": ["north", "south"]}
    specification = specify(
        {"one": raw(4), "region": region}, {"scores": layers(SCORES, inputs="one")}
    ).model_copy(update={"evaluation": Evaluation(slices=("region",))})

    assert list(fuse(specification).model.input) == ["one"]


@pytest.mark.parametrize("precision_", ["float32", "mixed_bfloat16"])
def test_a_variable_sequence_is_masked_by_its_length(precision_: str) -> None:
    specification = specify(
        features={
            "steps": {"type": "sequence", "column": "steps", "shape": [4, 2], "variable": True}
        },
        graph={
            "last": layers({"GRU": {"units": 3, "dtype": "float32"}}, inputs="steps"),
            "scores": layers(SCORES, inputs="last"),
        },
    )
    with precision(precision_):
        fused = fuse(specification)
    short = rows(2, 2)
    short[:, 1] = 0  # a step like the padding is a step
    padded = np.pad(short, [(0, 0), (0, 2), (0, 0)])

    wanted = fused.layers["last"][0](short)
    given = keras.Model(fused.model.input, fused.tensors["last"])(
        {"steps": padded, "steps_length": np.full(len(short), 2)}
    )

    assert list(fused.model.input) == ["steps", "steps_length"]
    np.testing.assert_allclose(given, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("wanted_dtype", "feature"),
    [("int32", raw(4, dtype="int64")), ("float16", raw(4)), ("float64", raw(4))],
)
def test_numbers_change_their_width_to_fit_a_sub_model(
    wanted_dtype: str, feature: dict[str, Any], tmp_path: Path
) -> None:
    entry = keras.Input((4,), dtype=wanted_dtype, name="entry")
    if wanted_dtype == "int32":
        tensor = keras.layers.Flatten()(keras.layers.Embedding(9, 2)(entry))
    else:
        tensor = keras.layers.Dense(8)(entry)
    model = keras.Model(entry, tensor)
    model.save(tmp_path / "typed.keras")
    specification = specify(
        features={"one": feature},
        submodels={"typed": submodel(tmp_path / "typed.keras", "one")},
        graph={"scores": layers(SCORES, inputs="typed")},
    )
    fused = fuse(specification)
    values = np.array([[0, 1, 2, 3], [4, 5, 6, 7]], feature["dtype"])

    [tap] = [tensor for name, tensor in fused.tensors.items() if name.startswith("typed.")]

    given = keras.Model(fused.model.input, tap)({"one": values})

    np.testing.assert_allclose(given, model(values.astype(wanted_dtype)), rtol=1e-3, atol=1e-6)


def test_a_check_on_interfaces_sees_the_same_graph_as_a_build(two_towers: Specification) -> None:
    interfaces = interfaces_of(two_towers)

    checked = describe(two_towers, interfaces, sketch(two_towers))
    built = describe(two_towers, interfaces, fuse(two_towers))

    assert checked == built


def test_the_shared_world_is_checked_as_it_is_built(shared_world: Path) -> None:
    specification = load_specification(shared_world / "fusion.yaml")
    interfaces = interfaces_of(specification)

    checked, built = sketch(specification), fuse(specification)

    assert describe(specification, interfaces, checked) == describe(
        specification, interfaces, built
    )
    assert {name: tensor.shape for name, tensor in checked.tensors.items()} == {
        name: tensor.shape for name, tensor in built.tensors.items()
    }
    assert sum(int(np.prod(weight.shape)) for weight in built.model.trainable_weights) == (
        10 * 8 + 8 + 8 * 3 + 3
    )
