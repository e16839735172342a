"""A learned weight per branch and row: `(batch, d)` several times to `(batch, d)`.

After the gated multimodal unit (Arevalo et al. 2017, arXiv:1702.01992): the gates see every
branch, and sum to one. A branch that a mask `(batch,)` leaves out counts as zeros and its gate is
shut; the others' sum to one.
"""

from typing import Any

import keras

from tfx_fusion.modules.graph.merges.vectors import VectorMerge, present


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Gated(VectorMerge):
    """Weighs equal shapes by gates that it learns."""

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        if len(input_shape[0]) != 2:
            raise ValueError(f"gated needs vectors, received {input_shape}")
        self._gates = keras.layers.Dense(
            len(input_shape), activation="softmax", dtype=self.dtype_policy, name="gates"
        )
        self._gates.build((None, (input_shape[0][-1] or 0) * len(input_shape)))

    def call(self, inputs: list[Any], mask: list[Any] | None = None) -> Any:
        branches = keras.ops.stack(inputs, axis=1)
        there = present(inputs, mask)
        if there is not None:
            branches = branches * keras.ops.expand_dims(there, -1)
        _, count, width = branches.shape
        weights = self._gates(keras.ops.reshape(branches, (-1, count * width)))
        if there is not None:
            weights = weights * there
            total = keras.ops.sum(weights, axis=1, keepdims=True)
            weights = keras.ops.divide_no_nan(weights, total)
        return keras.ops.sum(branches * keras.ops.expand_dims(weights, -1), axis=1)
