"""The mask of a variable sequence, from the number of steps that each row has."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfx_fusion")
class StepMask(keras.layers.Layer):
    """Masks what is no step, given `[values (batch, steps, width), lengths (batch,)]`.

    Returns the values as they are, with the mask `(batch, steps)`. Unlike Keras's `Masking`, which
    goes by the values, it keeps a step that equals the padding.
    """

    def __init__(self, name: str, **options: Any) -> None:
        # In half precision Keras would round the values on their way to a float32 sub-model.
        super().__init__(name=name, **{**options, "autocast": False})
        self.supports_masking = True

    def call(self, inputs: list[Any]) -> Any:
        return keras.ops.copy(inputs[0])

    def compute_mask(self, inputs: list[Any], previous_mask: Any = None) -> Any:
        """Which steps `(batch, steps)` each row has."""
        values, lengths = inputs
        steps = keras.ops.arange(values.shape[1], dtype="int64")
        return keras.ops.less(steps[None, :], keras.ops.cast(lengths, "int64")[:, None])

    def compute_output_spec(self, inputs: list[Any]) -> keras.KerasTensor:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)
