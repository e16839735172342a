"""The merges: how several nodes become one tensor. Each is a Keras layer behind a name."""

from __future__ import annotations

from collections.abc import Callable

import keras

# `(batch, a), (batch, b)` to `(batch, a + b)` for concatenate; the others want equal shapes.
MERGES: dict[str, Callable[[str], keras.layers.Layer]] = {
    "concatenate": lambda name: keras.layers.Concatenate(name=name),
    "add": lambda name: keras.layers.Add(name=name),
    "multiply": lambda name: keras.layers.Multiply(name=name),
    "average": lambda name: keras.layers.Average(name=name),
    "maximum": lambda name: keras.layers.Maximum(name=name),
}
