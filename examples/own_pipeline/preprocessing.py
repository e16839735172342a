"""The `preprocessing_fn` of a pipeline that knows nothing of this project."""

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft


def preprocessing_fn(inputs: dict[str, Any]) -> dict[str, Any]:
    """Raw columns of the CSV file, `(batch, 1)` each, to what models take."""
    spent = inputs["spent"]  # sparse: some rows have none
    column = tf.SparseTensor(spent.indices, spent.values, [spent.dense_shape[0], 1])
    return {
        "days_xf": tft.scale_to_z_score(tf.cast(inputs["days"], tf.float32)),
        "visits": inputs["visits"],  # whole numbers
        "spent_xf": tft.scale_to_z_score(tf.math.log1p(tf.sparse.to_dense(column))),
        "letter": inputs["letter"],
        "left": inputs["left"],  # "no" or "yes"
    }
