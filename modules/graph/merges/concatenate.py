"""Side by side: `(batch, a), (batch, b)` to `(batch, a + b)`; `axis` is the last unless given."""

from __future__ import annotations

import keras


def new(name: str, axis: int = -1) -> keras.layers.Layer:
    """The layer of this merge."""
    return keras.layers.Concatenate(axis=axis, name=name)
