"""A sub-model gives the masks that plain Keras gives when the loaded model is called as a layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.submodels.layer import SubmodelLayer

OUTPUTS = ("steps", "vector", "mean")


@pytest.fixture(scope="module", params=["float32", "mixed_float16", "mixed_bfloat16"])
def path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Steps that keep the mask, and two outputs of another rank that lose it."""
    policy, layers = request.param, keras.layers
    entry = keras.Input((5, 3), name="entry")
    inner = layers.LSTM(4, return_sequences=True, name="inner", dtype=policy)(entry)
    steps = layers.Dense(2, name="steps", dtype=policy)(layers.Dropout(0.5, dtype=policy)(inner))
    vector = layers.GRU(3, name="vector", dtype=policy)(inner)
    mean = layers.GlobalAveragePooling1D(name="mean", dtype=policy)(steps)
    path = tmp_path_factory.mktemp("masks") / "masked.keras"
    keras.Model(entry, [steps, vector, mean]).save(path)
    return path


def masked_steps() -> Any:
    values = np.random.default_rng(1).normal(size=(4, 5, 3)).astype("float32")
    for row, length in enumerate((5, 3, 1, 4)):
        values[row, length:] = 0
    return keras.layers.Masking()(values)


def mask_of(tensor: Any) -> list[Any] | None:
    mask = getattr(tensor, "_keras_mask", None)
    return None if mask is None else np.asarray(mask).tolist()


def by_hand(path: Path) -> dict[str, Any]:
    model = keras.saving.load_model(path)
    return dict(zip(OUTPUTS, model(masked_steps(), training=False), strict=True))


def assert_same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name, right in wanted.items():
        np.testing.assert_array_equal(np.asarray(found[name]), np.asarray(right))
        assert mask_of(found[name]) == mask_of(right), name


def test_values_and_masks_are_those_of_the_loaded_model(path: Path) -> None:
    wanted = by_hand(path)
    layer = SubmodelLayer(path, list(OUTPUTS), None, "sub")

    assert_same(layer({"entry": masked_steps()}), wanted)
    assert [name for name in OUTPUTS if mask_of(wanted[name])] == ["steps"]


def test_they_are_the_same_partly_in_training_mode(path: Path) -> None:
    layer = SubmodelLayer(path, list(OUTPUTS), None, "sub")
    layer.unfreeze(["vector"], training_mode=True)

    assert_same(layer({"entry": masked_steps()}, training=True), by_hand(path))


@pytest.mark.parametrize("taps", [OUTPUTS, ("vector", "inner")])
def test_they_are_the_same_where_the_model_is_cut(path: Path, taps: tuple[str, ...]) -> None:
    whole = SubmodelLayer(path, [*{*taps, "inner"}], None, "whole")({"entry": masked_steps()})

    upper = SubmodelLayer(path, list(taps), None, "sub").above(["inner"])

    assert_same(upper({"inner": whole["inner"]}), {tap: whole[tap] for tap in taps})
    assert mask_of(whole["inner"]) is not None


def test_a_loss_on_a_vector_of_masked_steps_counts_every_row(path: Path) -> None:
    entry = keras.Input((5, 3))
    given = keras.layers.Masking()(entry)
    layer = SubmodelLayer(path, ["vector"], None, "sub")
    vector = layer({"entry": given})["vector"]
    model = keras.Model(entry, keras.layers.Dense(1, dtype="float32")(vector))
    model.compile("sgd", "mse", weighted_metrics=["mae"])
    steps, labels = tf.identity(masked_steps()), np.ones((4, 1), "float32")

    model.fit(steps, labels, sample_weight=np.array([1.0, 2.0, 3.0, 4.0]), verbose=0)

    error = float(np.mean((model(steps) - labels) ** 2))
    assert model.evaluate(steps, labels, verbose=0)[0] == pytest.approx(error, rel=1e-3)
