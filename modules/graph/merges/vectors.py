"""What merges of vectors share: their result, and masks of whole rows `(batch,)`.

A Masking layer gives such a mask to a vector `(batch, d)`.
"""

from collections.abc import Sequence
from typing import Any

import keras


def present(inputs: Sequence[Any], masks: Sequence[Any] | None) -> Any:
    """Which of several vectors a row has: `(batch, branches)` in their dtype, 1 or 0.

    None where no vector has a mask. A mask of another rank says nothing about whole rows.
    """
    given = [mask if mask is not None and len(mask.shape) == 1 else None for mask in masks or ()]
    if all(mask is None for mask in given):
        return None
    known = [
        keras.ops.ones_like(values[:, 0]) if mask is None else keras.ops.cast(mask, values.dtype)
        for values, mask in zip(inputs, given, strict=True)
    ]
    return keras.ops.stack(known, axis=1)


class VectorMerge(keras.layers.Layer):
    """Makes one vector of several; unless it says otherwise, as wide as each: `(batch, d)`.

    The result has no mask.
    """

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_shape(
        self, input_shape: list[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        return tuple(input_shape[0])
