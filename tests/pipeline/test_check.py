"""Shapes are inferred without the numbers of the weights."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
from tfx_fusion.pipeline.check import import_light_keras
import_light_keras()
import keras
layer = keras.layers.LSTM(3000, dtype="bfloat16")
print(layer(keras.Input((4, 2))).shape, [weight.value.nbytes for weight in layer.weights])
print(sum(abs(weight.value).max() + sum(weight.value.strides) for weight in layer.weights))
"""


def test_weights_take_neither_time_nor_memory() -> None:
    # A matrix of 3,000 x 12,000 made orthogonal takes a minute.
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )

    shape, total = done.stdout.splitlines()
    assert shape.startswith("(None, 3000) ")
    assert total == "0"


def test_a_check_imports_jax_only_where_it_is_used() -> None:
    code = """\
import sys
from tfx_fusion.pipeline.check import import_light_keras
import_light_keras()
import keras, numpy as np
steps = keras.layers.Conv1D(3, 2)(keras.Input((5, 2)))
assert keras.layers.MultiHeadAttention(2, 4)(steps, steps).shape == (None, 4, 3)
assert "jax" not in sys.modules, "imported for shapes"
summed = keras.ops.conv(np.ones((1, 4, 1)), np.ones((2, 1, 1)))
assert summed.tolist() == [[[2.0], [2.0], [2.0]]]
real, _ = keras.ops.fft((np.ones(4), np.zeros(4)))
assert np.asarray(real).tolist() == [4.0, 0.0, 0.0, 0.0]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
