"""Masks reach every layer as in plain Keras, and the precision is that of new layers only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from towers import CROSSENTROPY, SCORES, fuse, layers, raw, specify

from tfx_fusion.modules.evaluation.measure_ablation import Constant
from tfx_fusion.modules.graph.layers import Cast
from tfx_fusion.modules.graph.merges import new_merge
from tfx_fusion.modules.graph.missing import Replacement
from tfx_fusion.modules.graph.outputs import Prediction
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.spec import length_name

MIXED = ("float32", "mixed_bfloat16", "mixed_float16")
A, B, C = (
    np.random.default_rng(seed).normal(size=(4, 3)).astype("float32") for seed in range(3)
)  # fmt: skip
HAS_B = np.array([True, False, True, False])


def masked(values: np.ndarray, mask: np.ndarray) -> Any:
    """What a Masking layer gives: zeros where the mask is False."""
    return keras.layers.Masking()(np.where(mask[..., None], values, 0).astype("float32"))


def mask_of(tensor: Any) -> Any:
    mask = getattr(tensor, "_keras_mask", None)
    return None if mask is None else np.asarray(mask)


@pytest.mark.parametrize("policy", MIXED)
def test_a_variable_sequence_reaches_a_sub_model_as_it_is(policy: str, tmp_path: Path) -> None:
    """Its mask comes from its length, and no value is rounded."""
    entry = keras.Input((4, 2), name="entry")
    model = keras.Model(entry, keras.layers.LSTM(3, name="vector")(entry))
    model.save(tmp_path / "steps.keras")
    sound = {"type": "sequence", "column": "sound", "shape": [4, 2], "variable": True}
    specification = specify(
        features={"sound": sound},
        submodels={"ear": {"path": str(tmp_path / "steps.keras"), "inputs": {"entry": "sound"}}},
        graph={"scores": layers(SCORES, inputs="ear")},
    )
    with precision(policy):
        fused = fuse(specification)
    values = np.random.default_rng(2).normal(size=(2, 4, 2)).astype("float32")
    values[0, 1] = 1e-9
    values[0, 2:] = 0

    given = {"sound": values, length_name("sound"): np.array([2, 4])}
    found = keras.Model(fused.model.input, fused.tensors["ear.vector"])(given)

    mask = np.array([[True, True, False, False], [True] * 4])
    wanted = keras.layers.LSTM(3)
    wanted.build((None, 4, 2))
    wanted.set_weights(model.get_weights())
    np.testing.assert_allclose(found, wanted(values, mask=mask), rtol=1e-6, atol=1e-6)
    assert mask_of(found) is None


@pytest.mark.parametrize("policy", MIXED)
def test_what_a_subclassed_model_makes_computes_in_float32(policy: str, tmp_path: Path) -> None:
    from tests.differential.own_a import Chain
    from tfx_fusion.modules.graph.build import build
    from tfx_fusion.modules.submodels.inspection import inspect_submodel
    from tfx_fusion.modules.submodels.layer import SubmodelLayer

    path, own = tmp_path / "chain.keras", ["tests.differential.own_a:Chain"]
    values = np.random.default_rng(2).normal(size=(5, 4)).astype("float32")
    model = Chain(3)
    wanted = model(values)
    model.save(path)
    specification = specify(
        features={"one": raw(4)},
        submodels={"own": {"path": str(path), "inputs": {"inputs": "one"}, "custom_objects": own}},
        graph={"scores": layers(SCORES, inputs="own")},
    )
    interface = inspect_submodel(path, None, own).interface
    with precision(policy):
        fused = build(
            specification,
            {"own": interface},
            lambda name, _, taps: SubmodelLayer(path, taps, None, name, own),
        )
        [tap] = interface.outputs
        found = keras.Model(fused.model.input, fused.tensors[f"own.{tap}"])({"one": values})

    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("policy", MIXED)
def test_layers_that_compute_nothing_new_keep_values_and_masks(policy: str) -> None:
    steps = np.random.default_rng(3).normal(size=(2, 3, 2)).astype("float32")
    mask = np.array([[True, False, False], [True, True, True]])
    one, other = masked(steps, mask), masked(steps, mask)
    with precision(policy):
        cast = Cast("float64", name="cast")(one)
        replaced = Replacement("zeros", "replaced")(other, np.array([False, True]))

    right = np.where(mask[..., None], steps, 0)
    np.testing.assert_array_equal(cast, right.astype("float64"))
    np.testing.assert_array_equal(replaced, [right[0], np.zeros((3, 2))])
    np.testing.assert_array_equal(mask_of(cast), mask)
    np.testing.assert_array_equal(mask_of(replaced), mask)


def test_a_prediction_has_no_mask() -> None:
    given = masked(A, HAS_B)

    found = Prediction("linear", name="y.prediction")(given)

    assert mask_of(given) is not None
    assert mask_of(found) is None


@pytest.mark.parametrize(
    ("merge", "layer"),
    [("add", "Add"), ("average", "Average"), ("maximum", "Maximum"), ("multiply", "Multiply"),
     ("concatenate", "Concatenate")],
)  # fmt: skip
def test_a_merge_of_keras_gives_the_mask_that_keras_gives(merge: str, layer: str) -> None:
    steps = np.random.default_rng(4).normal(size=(2, 2, 3, 2)).astype("float32")
    masks = np.array([[[1, 0, 0], [1, 1, 1]], [[1, 1, 0], [0, 0, 1]]], bool)
    pair = [masked(values, mask) for values, mask in zip(steps, masks, strict=True)]

    found = new_merge(merge, "joined", {})(pair)
    wanted = getattr(keras.layers, layer)()(pair)

    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(mask_of(found), masks[0] | masks[1])


@pytest.mark.parametrize("merge", ["attention", "gated"])
def test_a_branch_that_a_row_does_not_have_counts_for_nothing(merge: str) -> None:
    """A row with it is as without masks; one without it is as if the branch were any other."""
    layer = new_merge(merge, "joined", {})
    without = np.asarray(layer([A, np.where(HAS_B[:, None], B, 0).astype("float32"), C]))
    found = np.asarray(layer([A, masked(B, HAS_B), C]))

    np.testing.assert_allclose(found[HAS_B], without[HAS_B], rtol=1e-5, atol=1e-6)
    assert np.abs(found[~HAS_B] - without[~HAS_B]).min() > 1e-6


def test_attention_leaves_a_masked_branch_out_of_keys_and_mean() -> None:
    layer = new_merge("attention", "joined", {})
    found = np.asarray(layer([A, masked(B, HAS_B), C]))

    tokens = np.stack([A, C], axis=1)
    pair = np.asarray(tokens + layer._attention(tokens, tokens)).mean(axis=1)
    np.testing.assert_allclose(found[~HAS_B], pair[~HAS_B], rtol=1e-5, atol=1e-6)


def test_gates_of_the_branches_that_are_there_sum_to_one() -> None:
    layer = new_merge("gated", "joined", {})
    ones = np.ones_like(A)
    found = np.asarray(layer([ones, masked(ones, HAS_B), ones]))

    np.testing.assert_allclose(found, 1, rtol=1e-5)


def test_a_row_without_any_branch_gives_zeros() -> None:
    nothing = masked(A, np.zeros(4, bool))
    for merge in ("attention", "gated"):
        layer = new_merge(merge, "joined", {})
        np.testing.assert_array_equal(layer([nothing, nothing]), np.zeros((4, 3)))


@pytest.mark.parametrize("merge", ["attention", "gated", "bilinear"])
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_our_merges_keep_their_precision_in_a_file(merge: str, policy: str, tmp_path: Path) -> None:
    entries = [keras.Input((3,)), keras.Input((3,))]
    with precision(policy):
        model = keras.Model(entries, new_merge(merge, "joined", {})(entries))
    model.save(tmp_path / "merge.keras")

    again = keras.saving.load_model(tmp_path / "merge.keras")([A, B])

    assert again.dtype == ("float32" if policy == "float32" else "bfloat16")
    np.testing.assert_array_equal(tf.cast(again, "float32"), tf.cast(model([A, B]), "float32"))


def test_a_branch_that_is_held_has_every_step_in_all_rows() -> None:
    steps = np.random.default_rng(3).normal(size=(2, 3, 2)).astype("float32")
    mask = np.array([[True, False, False], [True, True, True]])
    value = np.arange(6, dtype="float32").reshape(3, 2)

    held = Constant(value)(masked(steps, mask))

    np.testing.assert_array_equal(held, [value, value])
    np.testing.assert_array_equal(mask_of(held), np.ones((2, 3), bool))
    assert mask_of(Constant(value)(steps)) is None


def test_an_output_with_odd_characters_in_its_name_is_connected(tmp_path: Path) -> None:
    entry = keras.Input((4,), name="en try", dtype="float16")
    outputs = {"a-b": keras.layers.Dense(3)(entry), "c d/e": keras.layers.Dense(2)(entry)}
    keras.Model(entry, outputs).save(tmp_path / "odd.keras")
    specification = specify(
        features={"one": {**raw(4), "missing": {"replace": "learned"}}, "other": raw(3)},
        submodels={"m": {"path": str(tmp_path / "odd.keras"), "inputs": {"en try": "one"}}},
        graph={
            "joined": {"merge": "concatenate", "inputs": ["m.a-b", "m.c d/e", "other"]},
            "scores": layers(SCORES, inputs="joined"),
        },
        output=CROSSENTROPY,
    )

    fused = fuse(specification)

    assert {"m.a-b", "m.c d/e"} <= fused.tensors.keys()
    inputs = {"one": np.ones((2, 4)), "other": np.ones((2, 3)), "one.missing": np.zeros(2, int)}
    given = {name: tf.constant(inputs[name], fused.model.input[name].dtype) for name in inputs}
    found = tf.function(lambda given: fused.model(given))(given)
    assert found["answer"].shape == (2, 3)
