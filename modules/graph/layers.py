"""New layers by name: any layer of Keras with its config, as a specification writes them."""

from __future__ import annotations

import inspect
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, first_line, suggestion

# Layers that hold code, load files, or are no step of a graph.
NOT_FOR_GRAPHS = frozenset(
    {
        "FlaxLayer",
        "InputLayer",
        "JaxLayer",
        "Lambda",
        "Layer",
        "TFSMLayer",
        "TorchModuleWrapper",
        "Wrapper",
    }
)


# The layers that take text.
OF_TEXT = frozenset({"Hashing", "HashedCrossing", "StringLookup", "TextVectorization"})


def check_dtype(class_name: str, tensor: keras.KerasTensor) -> None:
    """Raises ValueError where a layer for numbers is given text; Keras would fail when it runs."""
    if str(tensor.dtype) == "string" and class_name not in OF_TEXT:
        raise ValueError("it takes numbers, not text")


def new_layer(key: str, class_name: str, config: dict[str, Any]) -> keras.layers.Layer:
    """A layer of Keras by its class's name. Raises SpecificationError where it cannot be made."""
    if class_name == "Lambda":
        raise SpecificationError(
            [f"{key}: a Lambda layer holds code, and a specification holds none: use another layer"]
        )
    known = {
        name
        for name, value in vars(keras.layers).items()
        if isinstance(value, type)
        and issubclass(value, keras.layers.Layer)
        and name not in NOT_FOR_GRAPHS
    }
    if class_name not in known:
        raise SpecificationError(
            [
                f"{key}: Keras has no layer of this name for use here; "
                f"{suggestion(class_name, known)}"
            ]
        )
    try:
        return getattr(keras.layers, class_name)(**config)
    except Exception as error:  # a layer's own code, given a wrong config, may raise anything
        known_keys = _arguments(getattr(keras.layers, class_name))
        unknown = [
            f"{key}.{name}: unknown key: {suggestion(name, known_keys)}"
            for name in config
            if name not in known_keys
        ]
        raise SpecificationError(unknown or [f"{key}: {first_line(error)}"]) from error


def _arguments(layer: type[keras.layers.Layer]) -> set[str]:
    """The names that a layer's config may hold: its own and those of every layer."""
    found = {"name", "dtype", "trainable", "autocast", "activity_regularizer"}
    for owner in layer.__mro__:
        if owner is keras.layers.Layer:
            break
        found.update(inspect.signature(owner).parameters)
    return found - {"self", "args", "kwargs"}
