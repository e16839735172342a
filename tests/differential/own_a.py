"""Classes of a user's own: a subclassed model, and a layer whose name `own_b` registers again."""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable()
class Block(keras.layers.Layer):
    """`tanh(x · scale)`, any shape to the same."""

    def build(self, input_shape: Any) -> None:
        self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")

    def call(self, inputs: Any) -> Any:
        return keras.ops.tanh(inputs * self.scale)


@keras.saving.register_keras_serializable()
class Chain(keras.Model):
    """A subclassed model `(batch, width)` to `(batch, units)` with a branch of its own."""

    def __init__(self, units: int, **more: Any) -> None:
        super().__init__(**more)
        self.units = units
        self.first = keras.layers.Dense(units, activation="tanh")
        self.norm = keras.layers.BatchNormalization()
        self.drop = keras.layers.Dropout(0.5)
        self.last = keras.layers.Dense(units)

    def build(self, input_shape: Any) -> None:
        inside = (None, self.units)
        self.first.build(input_shape)
        self.norm.build(inside)
        self.last.build(inside)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool = False) -> Any:
        hidden = self.first(inputs)
        dropped = self.drop(self.norm(hidden, training=training), training=training)
        return hidden + self.last(dropped)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "units": self.units}
