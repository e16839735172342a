"""Attention across branches: `(batch, d)` several times to `(batch, d)`.

Each branch is a token that attends to all (Vaswani et al. 2017, arXiv:1706.03762), added to itself;
the mean over the branches is the result. A branch that a mask `(batch,)` leaves out is not attended
to, nor does it count in the mean.
"""

from typing import Any

import keras

from tfx_fusion.modules.graph.merges.vectors import VectorMerge, present


@keras.saving.register_keras_serializable(package="tfx_fusion")
class BranchAttention(VectorMerge):
    """Lets branches of equal width attend to each other."""

    def __init__(self, heads: int = 1, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True
        self._heads = heads

    def build(self, input_shape: list[tuple[int | None, ...]]) -> None:
        if len(input_shape[0]) != 2:
            raise ValueError(f"attention needs vectors, received {input_shape}")
        width = input_shape[0][-1] or 0
        self._attention = keras.layers.MultiHeadAttention(
            self._heads, max(width // self._heads, 1), dtype=self.dtype_policy, name="attention"
        )
        tokens = (None, len(input_shape), width)
        self._attention.build(tokens, tokens)

    def call(self, inputs: list[Any], mask: list[Any] | None = None) -> Any:
        tokens = keras.ops.stack(inputs, axis=1)
        there = present(inputs, mask)
        if there is None:
            return keras.ops.mean(tokens + self._attention(tokens, tokens), axis=1)
        attended = self._attention(
            tokens, tokens, attention_mask=keras.ops.cast(there[:, None, :], "bool")
        )
        weights = there / keras.ops.maximum(keras.ops.sum(there, axis=1, keepdims=True), 1)
        return keras.ops.sum((tokens + attended) * keras.ops.expand_dims(weights, -1), axis=1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "heads": self._heads}
