"""Layers that stand in for a missing modality, where its branch joins others.

The same layers run in training, in evaluation and in the served model. Dropping modalities at
random in training follows ModDrop (Neverova et al. 2015, arXiv:1501.00102).
"""

from typing import Any

import keras

from tfx_fusion.modules.spec import Missing


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Absence(keras.layers.Layer):
    """Which rows go without a feature: `(batch,)` int64, 1 or 0, to `(batch,)` bool.

    In training a share `drop` of the rows goes without it too, drawn anew in every step.
    """

    def __init__(self, drop: float, name: str, **options: Any) -> None:
        super().__init__(name=name, **{**options, "dtype": "float32", "autocast": False})
        self._drop = drop
        self._seeds = keras.random.SeedGenerator() if drop else None

    def call(self, missing: Any, training: bool = False) -> Any:
        absent = keras.ops.cast(missing, "bool")
        if not training or self._seeds is None:
            return absent
        drawn = keras.random.uniform(keras.ops.shape(missing), seed=self._seeds)
        return keras.ops.logical_or(absent, drawn < self._drop)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "drop": self._drop}


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Replacement(keras.layers.Layer):
    """Puts a vector in the place of a value `(batch, …)` in the rows that go without it.

    The vector is zeros, learned, or the mean over the rows to train on, which is set from outside.
    """

    def __init__(self, replace: str, name: str, **options: Any) -> None:
        # What it passes on keeps its dtype, whatever the new layers around it compute in.
        super().__init__(name=name, **{**options, "dtype": "float32", "autocast": False})
        self.supports_masking = True
        self.replace = replace

    def build(
        self, value_shape: tuple[int | None, ...], absent_shape: tuple[int | None, ...]
    ) -> None:
        shape = [1 if size is None else size for size in value_shape[1:]]
        self.vector = None
        if self.replace != "zeros":
            self.vector = self.add_weight(
                shape=shape, initializer="zeros", trainable=self.replace == "learned", name="vector"
            )

    def call(self, value: Any, absent: Any) -> Any:
        vector = keras.ops.zeros_like(value)
        if self.vector is not None:
            vector = keras.ops.cast(self.vector, value.dtype)
        where = keras.ops.reshape(absent, [-1] + [1] * (len(value.shape) - 1))
        return keras.ops.where(where, vector, value)

    def compute_output_spec(self, value: Any, absent: Any) -> Any:
        return keras.KerasTensor(value.shape, dtype=value.dtype)

    def compute_mask(self, value: Any, previous_mask: Any) -> Any:
        """The value's own mask."""
        return previous_mask

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "replace": self.replace}


def check_replaceable(missing: Missing, tensor: Any) -> None:
    """Raises ValueError where a value `(batch, …)` cannot be replaced as asked."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string":
        raise ValueError("text cannot be replaced: let a sub-model or a layer read it first")
    if "float" not in dtype and missing.replace != "zeros":
        raise ValueError(f"whole numbers cannot be {missing.replace}: write replace: zeros")
