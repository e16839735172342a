"""A sub-model as one Keras layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

from modules.submodels import keras_file, saved_model
from modules.submodels.inspection import detect_format


class SubmodelLayer(keras.layers.Layer):
    """A sub-model as one layer, from `{input: tensor}` to `{output: tensor}`, in inference mode.

    A nested model with `trainable=False` still drops out under `fit`, and passing
    `training=False` to it in a functional graph does not help: the outer call overwrites the
    recorded argument. Here the mode is fixed inside `call`, out of reach.
    """

    def __init__(self, path: Path, taps: list[str], signature: str | None, name: str) -> None:
        super().__init__(name=name, trainable=False)
        self._taps = taps
        # A loaded SavedModel must live as long as its functions do; a .keras file has none.
        self.loaded: Any = None
        if detect_format(path) == "keras":
            self._inner = keras_file.tapped(keras_file.load_model(path), taps)
            self._inner.trainable = False
        else:
            self.loaded = saved_model.load(path)
            picked = saved_model.pick_signature(path, self.loaded, signature)
            self._signature = self.loaded.signatures[picked]
            self._variables = saved_model.as_keras_variables(self._signature)
            for variable in self._variables:
                variable.trainable = False
        self.built = True

    def call(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """`{input: (batch, …)}` to `{output: (batch, …)}`, by the sub-model's own names."""
        if self.loaded is None:
            return self._inner(inputs, training=False)
        outputs = self._signature(**inputs)
        return {tap: outputs[tap] for tap in self._taps}
