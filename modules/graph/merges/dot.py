"""The scalar product of two: `(batch, d), (batch, d)` to `(batch, 1)`, cosine if `normalize`."""

from __future__ import annotations

import keras

EQUAL_SHAPES = True


def new(name: str, normalize: bool = False) -> keras.layers.Layer:
    """The layer of this merge."""
    return keras.layers.Dot(axes=-1, normalize=normalize, name=name)
