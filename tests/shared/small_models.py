"""The smallest models of both formats, and what an inspection makes of them."""

from __future__ import annotations

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.submodels.inspection import inspect_submodel
from tfx_fusion.modules.submodels.interface import Interface


def shape_of(interface: Interface, *names: str) -> list[str]:
    return [str(interface.taps()[name]) for name in names]


def refusal(path: Path, signature: str | None = None) -> str:
    with pytest.raises(UserError) as caught:
        inspect_submodel(path, signature)
    return str(caught.value)


def small_model(dtype: str | None = None) -> keras.Model:
    """Two layers: 2 × 3 + 3 and 3 × 1 + 1 parameters."""
    entry = keras.Input((2,), name="entry")
    hidden = keras.layers.Dense(3, activation="relu", name="hidden", dtype=dtype)(entry)
    score = keras.layers.Dense(1, activation="sigmoid", name="score", dtype=dtype)(hidden)
    return keras.Model(entry, score, name="small")


class TwoSignatures(tf.Module):
    """A model of plain TensorFlow that can double or halve."""

    def __init__(self) -> None:
        super().__init__()
        self.factors = tf.Variable([[2.0, 0.5]], name="factors")

    @tf.function(input_signature=[tf.TensorSpec((None, 1), tf.float32, name="number")])
    def stretch(self, number: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"stretched": number @ self.factors}

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="word")])
    def repeat(self, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"repeated": tf.strings.join([word, word])}


def save_two_signatures(path: Path, *names: str) -> Path:
    module = TwoSignatures()
    wanted = names or ("stretch", "repeat")
    tf.saved_model.save(module, str(path), {name: getattr(module, name) for name in wanted})
    return path
