"""The optimizers of training: loss scaling under mixed_float16."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.training.optimizers import LossScale


@pytest.mark.parametrize("slices", [[np.inf, 1.0, 1.0], [1.0, np.nan, 1.0], [1.0, 1.0, np.inf]])
def test_a_step_is_left_out_where_any_gradient_of_a_repeated_token_overflows(
    slices: list[float],
) -> None:
    table = keras.Variable(np.ones((3, 1), "float32"))
    optimizer = LossScale(keras.optimizers.SGD(1.0), initial_scale=8.0)
    optimizer.build([table])

    def step(values: list[float]) -> None:
        gradient = tf.IndexedSlices(tf.constant(values)[:, None], [2, 2, 0], tf.constant([3, 1]))
        optimizer.apply([gradient])

    step(slices)
    np.testing.assert_array_equal(table, np.ones((3, 1)))
    assert float(optimizer.dynamic_scale) == 4.0

    step([4.0, 8.0, 2.0])
    np.testing.assert_array_equal(table, [[0.5], [1.0], [-2.0]])
