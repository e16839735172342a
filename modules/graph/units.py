"""The last layer of an output whose label is normalized: it gives predictions in the label's units.

It is part of the fused model, so that training on raw rows and on embeddings, the evaluation, the
exported model and every server give the same numbers.
"""

from __future__ import annotations

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="tfx_fusion")
class LabelUnits(keras.layers.Layer):
    """Scaled numbers `(batch, 1)` to the label's units: times `scale`, plus `shift`.

    Both are set from the labels of the rows to train on when training begins. `scaled` is the
    inverse, for losses.
    """

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name=name, dtype="float32", **options)

    def build(self, shape: tuple[int | None, ...]) -> None:
        self.shift = self.add_weight((), "zeros", trainable=False, name="shift")
        self.scale = self.add_weight((), "ones", trainable=False, name="scale")

    def call(self, values: Any) -> Any:
        return values * self.scale + self.shift

    def scaled(self, values: Any) -> Any:
        """Numbers in the label's units, scaled."""
        return (values - self.shift) / self.scale

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["dtype"]
        return config
