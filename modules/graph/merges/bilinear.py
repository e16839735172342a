"""Every product of two vectors' elements: `(batch, a), (batch, b)` to `(batch, a · b)`.

The outer product of bilinear pooling (Lin et al. 2015, arXiv:1504.07889), without its pooling. Like
Keras's Dot it takes no account of masks, and the result has none.
"""

from typing import Any

import keras

from tfx_fusion.modules.graph.merges.vectors import VectorMerge


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Bilinear(VectorMerge):
    """The flattened outer product of two vectors."""

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        if len(input_shape) != 2 or any(len(shape) != 2 for shape in input_shape):
            raise ValueError(f"bilinear needs two vectors, received {input_shape}")

    def call(self, inputs: list[Any]) -> Any:
        first, second = inputs
        outer = keras.ops.expand_dims(first, 2) * keras.ops.expand_dims(second, 1)
        return keras.ops.reshape(outer, (-1, outer.shape[1] * outer.shape[2]))

    def compute_output_shape(
        self, input_shape: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return (input_shape[0][0], (input_shape[0][1] or 0) * (input_shape[1][1] or 0))
