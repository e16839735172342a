"""A sub-model from its file, by Keras and TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import get_keras_mask, set_keras_mask

Values = dict[str, Any]


def with_mask(tensor: Any, mask: Any) -> Any:
    """A copy of a tensor with a mask of its own, or with none."""
    copied = tf.identity(tensor)
    if mask is not None:
        set_keras_mask(copied, mask)
    return copied


class File:
    """A sub-model from its file, called by `{entry: tensor}`; gives its outputs in a row.

    Attributes:
        trainable: the variables that all of it would train.
        training_mode: whether it runs as in training; `chosen` sets it.
    """

    def __init__(self, description: Mapping[str, Any], path: Path) -> None:
        self.training_mode = False
        if path.is_dir():
            self.model: Any = tf.saved_model.load(str(path))
            self._signature = self.model.signatures["serving_default"]
            self._specs = self._signature.structured_input_signature[1]
            self.trainable = [v for v in self._signature.variables if v.trainable]
            return
        from tests.differential import own_a, own_b

        own = own_b if "OwnB" in str(description) else own_a
        # A scope does not reach inside a functional model: what is registered comes first there.
        registered = keras.saving.get_custom_objects()
        before = dict(registered)
        registered["Custom>Block"] = own.Block
        try:
            self.model = keras.models.load_model(path, compile=False)
        finally:
            registered.update(before)
        self._signature = None
        self.trainable = [v.value for v in self.model.trainable_variables]

    def variables(self) -> list[Any]:
        """All that training may change, moving statistics included."""
        if self._signature is not None:
            return self.trainable
        return [v.value for v in self.model.variables]

    def chosen(self, unfreeze: Mapping[str, Any]) -> list[Any]:
        """The variables that a stage trains: of all, of the last layers, or of those by name."""
        if "all" in unfreeze:
            return self.trainable
        layers = [layer for layer in self.model.layers if layer.weights]
        if "last" in unfreeze:
            layers = layers[-unfreeze["last"] :]
        else:
            [pattern] = unfreeze["layers"]
            layers = [layer for layer in layers if fnmatchcase(layer.name, pattern)]
        return [v.value for layer in layers for v in layer.trainable_variables]

    def __call__(self, given: Values, training: bool = False) -> list[Any]:
        if self._signature is not None:
            names = list(self._specs)
            if len(names) == 1:
                given = dict(zip(names, given.values(), strict=True))
            fed = {name: self._cast(given[name], self._specs[name].dtype.name) for name in names}
            found = self._signature(**fed)
            return [found[name] for name in sorted(found)]
        if isinstance(self.model, keras.Sequential) or not hasattr(self.model, "inputs"):
            [tensor] = given.values()
            wanted = self.model.inputs[0].dtype if isinstance(self.model, keras.Sequential) else ""
            # A Sequential without Input does not say what it takes: what it was built on.
            if isinstance(self.model.layers[0], keras.layers.Embedding):
                wanted = tensor.dtype.name
            inputs: Any = self._cast(tensor, wanted)
        else:
            inputs = keras.tree.map_structure(
                lambda known: self._cast(given[known.name], known.dtype), self.model.input
            )
        return keras.tree.flatten(self.model(inputs, training=training and self.training_mode))

    def _cast(self, tensor: Any, dtype: str) -> Any:
        if not dtype or tensor.dtype.name == dtype or tensor.dtype == tf.string:
            return tensor
        return with_mask(tf.cast(tensor, dtype), get_keras_mask(tensor))
