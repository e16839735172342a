"""A learned weight per branch and row: `(batch, d)` several times to `(batch, d)`.

After the gated multimodal unit (Arevalo et al. 2017, arXiv:1702.01992): the gates see every
branch, and sum to one.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Gated(keras.layers.Layer):
    """Weighs equal shapes by gates that it learns."""

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        if len(input_shape[0]) != 2:
            raise ValueError(f"gated needs vectors, received {input_shape}")
        self._gates = keras.layers.Dense(len(input_shape), activation="softmax", name="gates")
        width = (input_shape[0][-1] or 0) * len(input_shape)
        self._gates.build((None, width))

    def call(self, inputs: list[Any]) -> Any:
        weights = self._gates(keras.ops.concatenate(inputs, axis=-1))
        branches = keras.ops.stack(inputs, axis=1)
        return keras.ops.sum(branches * keras.ops.expand_dims(weights, -1), axis=1)

    def compute_output_shape(
        self, input_shape: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return tuple(input_shape[0])
