"""Features and labels as the Transform graph gives them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import (
    Feature,
    Label,
)


def transform(feature: Feature, values: Any) -> np.ndarray:
    """One feature of a batch as the graph gives it, traced once for batches of any size."""
    config = transform_config({"x": feature}, {})

    @tf.function
    def traced(raw: Any, row_id: Any) -> Any:
        return preprocessing_fn({"x": raw, "row_id": row_id}, config)["x"]

    tensor = tf.constant(values)
    return traced(tensor, tf.fill([tf.shape(tensor)[0]], "row 1")).numpy()


def transform_label(label: Label, values: Any) -> np.ndarray:
    config = transform_config({}, {"y": label})
    raw = {"y": tf.constant(values), "row_id": tf.fill([len(values)], "row 1")}
    return preprocessing_fn(raw, config)["y"].numpy()
