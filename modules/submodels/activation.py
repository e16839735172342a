"""What a layer ends in."""

from __future__ import annotations

from typing import Any

import keras


def activation_of(layer: Any) -> str | None:
    """The name of the activation that ends a layer; None where it does not tell, as no model does.

    A model's attribute of that name may be any step of it.
    """
    if isinstance(layer, keras.Model):
        return None
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)
