"""What a layer ends in."""

from __future__ import annotations

from typing import Any

import keras


def activation_of(layer: Any) -> str | None:
    """The name of the activation that ends a layer; None where it does not tell."""
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
