"""Layers that stand in for a missing modality: where it enters, and where its branch joins others.

What a branch computes in rows that lack its feature is replaced where it joins others. A value that
is not finite would still make gradients NaN on its way back: 0 times NaN is NaN, and a weight's
gradient is the sum over all rows. So the branch computes something finite from a made-up input.

The same layers run in training, in evaluation and in the served model. Dropping modalities at
random in training follows ModDrop (Neverova et al. 2015, arXiv:1501.00102).
"""

import math
from typing import Any

import keras

from tfx_fusion.modules.keras_compat import set_mask
from tfx_fusion.modules.spec import Missing


def _rows(absent: Any, like: Any) -> Any:
    """Which rows `(batch,)` as bool, in a shape that fits values `(batch, …)`."""
    shape = [-1] + [1] * (len(like.shape) - 1)
    return keras.ops.reshape(keras.ops.cast(absent, "bool"), shape)


def _with_mask(result: Any, value: Any, absent: Any) -> Any:
    """The result with the value's mask; in the rows of `absent` every step counts.

    A mask without a step would make a mean over the steps 0 / 0.
    """
    mask = getattr(value, "_keras_mask", None)
    if mask is not None:
        set_mask(result, keras.ops.logical_or(mask, _rows(absent, mask)))
    return result


class _Masked(keras.layers.Layer):
    """A layer that sets its output's mask in `call`, and lets values keep their dtype."""

    def __init__(self, name: str, **options: Any) -> None:
        # What it passes on keeps its dtype, whatever the new layers around it compute in.
        super().__init__(name=name, **{**options, "dtype": "float32", "autocast": False})
        self.supports_masking = True

    def compute_output_spec(self, value: Any, absent: Any) -> Any:
        return keras.KerasTensor(value.shape, dtype=value.dtype)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: the mask is set already."""
        return None


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Substitute(_Masked):
    """Puts a made-up value in the place of a feature `(batch, …)` in the rows that lack it.

    Numbers above 0, up to 1 and all different, so that neither a logarithm, a root, a division by
    the values' norm or deviation nor a mask by value fails on them; `whole` in place of whole
    numbers, among which 0 is padding.
    """

    def __init__(self, name: str, whole: int = 1, **options: Any) -> None:
        super().__init__(name=name, **options)
        self._whole = whole

    def call(self, value: Any, absent: Any) -> Any:
        made_up = keras.ops.full_like(value, self._whole)
        if "float" in keras.backend.standardize_dtype(value.dtype):
            count = math.prod(value.shape[1:])
            ramp = keras.ops.arange(1, count + 1, dtype=value.dtype) / count
            made_up = keras.ops.reshape(ramp, value.shape[1:])
        return keras.ops.where(_rows(absent, value), made_up, value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "whole": self._whole}


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Finite(_Masked):
    """Puts zeros in the place of a value `(batch, …)` in rows that lack its feature, if not finite.

    That is what embeddings hold in such rows, too.
    """

    def call(self, value: Any, absent: Any) -> Any:
        result = keras.ops.copy(value)
        if "float" in keras.backend.standardize_dtype(value.dtype):
            axes = list(range(1, len(value.shape)))
            finite = keras.ops.all(keras.ops.isfinite(value), axis=axes, keepdims=True)
            bad = keras.ops.logical_and(_rows(absent, value), keras.ops.logical_not(finite))
            result = keras.ops.where(bad, keras.ops.zeros_like(value), value)
        return _with_mask(result, value, absent)


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
class Replacement(_Masked):
    """Puts a vector in the place of a value `(batch, …)` in the rows that go without it.

    The vector is zeros, learned, or the mean over the rows to train on, which is set from outside.
    It stands for every step of a sequence, whatever the mask of the value was.
    """

    def __init__(self, replace: str, name: str, **options: Any) -> None:
        super().__init__(name=name, **options)
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
        replaced = keras.ops.where(_rows(absent, value), vector, value)
        return _with_mask(replaced, value, absent)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "replace": self.replace}


def check_replaceable(missing: Missing, tensor: Any) -> None:
    """Raises ValueError where a value `(batch, …)` cannot be replaced as asked."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if dtype == "string":
        raise ValueError("text cannot be replaced: let a sub-model or a layer read it first")
    if "float" not in dtype and missing.replace != "zeros":
        raise ValueError(f"whole numbers cannot be {missing.replace}: write replace: zeros")
