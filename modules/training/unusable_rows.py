"""The rows that training cannot learn from: a prediction or a loss of theirs is not finite."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.outputs import LabelUnits
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.training.data import Rows
from tfx_fusion.modules.training.losses import new_loss

NOT_FINITE = "expected a finite prediction and loss, found NaN or infinity"


class NotFiniteError(RunError):
    """A loss, a metric or a mean over rows is NaN or infinity."""


class UnusableRow(NamedTuple):
    """A row by its split, its place in it from 0, counted with all that are left out, and its id.

    It travels through JSON as a list.
    """

    split: str
    place: int
    row_id: str


class Search(Protocol):
    """Looks for rows that training cannot use; the data of a stage are without the `unusable`."""

    unusable: list[UnusableRow]

    def find_unusable(self) -> int:
        """Adds those that the model, as it is now, shows; returns how many.

        Raises RejectedRowsError where these are too many.
        """


def unusable_rows(
    specification: Fusion,
    model: keras.Model,
    units: Mapping[str, LabelUnits],
    rows: Rows,
) -> np.ndarray:
    """The numbers `(found,)` of the rows whose prediction or loss is NaN or infinity.

    Args:
        specification: what is predicted, and with what loss.
        model: the whole, or a head, as training begins with it.
        units: the last layer of each output of a normalized label (`FusedModel.units`).
        rows: those of a split.
    """
    losses = {name: new_loss(output.loss, units.get(name))
              for name, output in specification.outputs.items()}  # fmt: skip

    @tf.function(autograph=False, reduce_retracing=True)
    def usable(numbers: Any) -> Any:
        tensors = rows.tensors(numbers)
        predicted = model({name: tensors[name] for name in model.input}, training=False)
        values = [
            value
            for name, prediction in predicted.items()
            for value in (
                prediction,
                losses[name].call(tensors[specification.label_name(name)], prediction),
            )
        ]
        finite = [
            tf.reduce_all(tf.math.is_finite(tf.reshape(value, [tf.shape(numbers)[0], -1])), axis=1)
            for value in values
        ]
        return tf.reduce_all(tf.stack(finite), axis=0)

    batches = tf.data.Dataset.range(rows.count()).batch(specification.training.batch_size)
    found = [numbers[~usable(numbers)].numpy() for numbers in batches]
    return np.concatenate(found) if found else np.empty(0, np.int64)
