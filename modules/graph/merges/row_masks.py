"""Masks of whole rows `(batch,)`, as a Masking layer gives a vector `(batch, d)`."""

from __future__ import annotations

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
