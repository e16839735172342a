"""SavedModels from Keras 2, which tf_keras still writes."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tf_keras

from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer

INPUTS = np.random.default_rng(6).normal(size=(16, 4)).astype("float32")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tf_keras.Model]:
    model = tf_keras.Sequential(
        [
            tf_keras.layers.Input((4,), name="numbers"),
            tf_keras.layers.Dense(3, activation="relu", name="hidden"),
            tf_keras.layers.BatchNormalization(name="norm"),
            tf_keras.layers.Dropout(0.5),
            tf_keras.layers.Dense(2, name="scores"),
        ]
    )
    path = tmp_path_factory.mktemp("keras_2") / "model"
    model.save(path, save_format="tf")
    return path, model


def test_its_interface_names_inputs_outputs_and_variables(old: tuple[Path, object]) -> None:
    interface = inspect_submodel(old[0]).interface

    assert {name: str(info) for name, info in interface.inputs.items()} == {
        "numbers": "(4) float32"
    }
    assert {name: str(info) for name, info in interface.outputs.items()} == {
        "scores": "(2) float32"
    }
    assert interface.parameters == 4 * 3 + 3 + 4 * 3 + 3 * 2 + 2
    assert set(interface.weights_of(["scores"])) == {
        "hidden/kernel", "hidden/bias", "norm/gamma", "norm/beta", "norm/moving_mean",
        "norm/moving_variance", "scores/kernel", "scores/bias",
    }  # fmt: skip


def test_it_answers_as_keras_2_does(old: tuple[Path, tf_keras.Model]) -> None:
    path, model = old
    layer = SubmodelLayer(path, ["scores"], None, "old")

    found = layer({"numbers": INPUTS})["scores"]

    np.testing.assert_allclose(found, model.predict(INPUTS, verbose=0), atol=1e-6)


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
def test_it_learns_what_is_unfrozen_and_only_that(
    optimizer: str, old: tuple[Path, tf_keras.Model]
) -> None:
    layer = SubmodelLayer(old[0], ["scores"], None, "old")
    entry = keras.Input((4,))
    scores = layer({"numbers": keras.layers.Dense(4)(entry)})["scores"]
    model = keras.Model(entry, keras.layers.Dense(1)(scores))
    layer.unfreeze(["scores/kernel", "norm/moving_mean"])  # nothing learns moving statistics
    before = {variable.path: np.array(variable) for variable in layer.weights}

    model.compile(getattr(keras.optimizers, optimizer)(1e-2), "mse")
    model.fit(INPUTS, np.ones((16, 1)), epochs=2, verbose=0)

    moved = {v.path for v in layer.weights if not np.array_equal(before[v.path], np.array(v))}
    assert moved == {"scores_kernel"}
