"""Losses and metrics by the specification's names, as Keras compiles them.

Labels of type category are class indices, so the sparse losses and metrics are used where Keras has
them: the same number as of the categorical ones, without a one-hot copy of every label. Those of
type multi_label hold 0 or 1 for each class.
"""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.graph.outputs import LabelUnits
from tfx_fusion.modules.metrics.table import Kind, as_rows, formula, larger_is_better, split
from tfx_fusion.modules.spec import NumberLabel, Specification
from tfx_fusion.modules.spec.losses import Loss

# From labels and predictions `(batch, …)` to the loss of each row `(batch,)`.
OfRow = Callable[..., Any]


def _one_hot(loss: OfRow) -> OfRow:
    """A loss of one-hot labels as a loss of class indices; others hold 0 or 1 for each class."""

    def of_row(labels: Any, predictions: Any, **options: float) -> Any:
        if len(labels.shape) < 2 or labels.shape[-1] != predictions.shape[-1]:
            classes = predictions.shape[-1]
            labels = keras.ops.one_hot(keras.ops.reshape(labels, [-1]), classes)
        return loss(keras.ops.cast(labels, predictions.dtype), predictions, **options)

    return of_row


def _plain(loss: OfRow) -> OfRow:
    """A loss of labels that are cast and shaped as the predictions."""

    def of_row(labels: Any, predictions: Any, **options: float) -> Any:
        labels = keras.ops.reshape(labels, keras.ops.shape(predictions))
        return loss(keras.ops.cast(labels, predictions.dtype), predictions, **options)

    return of_row


def _categorical(labels: Any, chances: Any, label_smoothing: float = 0.0) -> Any:
    if not label_smoothing:
        labels = keras.ops.reshape(labels, [-1])
        return keras.losses.sparse_categorical_crossentropy(labels, chances)
    return _one_hot(keras.losses.categorical_crossentropy)(
        labels, chances, label_smoothing=label_smoothing
    )


def _binary_focal(labels: Any, chances: Any, **options: float) -> Any:
    return keras.losses.binary_focal_crossentropy(
        labels, chances, apply_class_balancing="alpha" in options, **options
    )


def _hinge(labels: Any, chances: Any) -> Any:
    """Keras's hinge of the scores whose sigmoid the chances are."""
    epsilon = keras.config.epsilon()
    clipped = keras.ops.clip(chances, epsilon, 1 - epsilon)
    return keras.losses.hinge(labels, keras.ops.log(clipped) - keras.ops.log1p(-clipped))


def _quantile(labels: Any, predictions: Any, quantile: float) -> Any:
    errors = labels - predictions
    return keras.ops.mean(keras.ops.maximum(quantile * errors, (quantile - 1) * errors), axis=-1)


OF_ROW: dict[str, OfRow] = {
    "categorical_crossentropy": _categorical,
    "categorical_focal_crossentropy": _one_hot(keras.losses.categorical_focal_crossentropy),
    "binary_crossentropy": _plain(keras.losses.binary_crossentropy),
    "binary_focal_crossentropy": _plain(_binary_focal),
    "hinge": _plain(_hinge),
    "cosine_similarity": _one_hot(keras.losses.cosine_similarity),
    "mean_squared_error": _plain(keras.losses.mean_squared_error),
    "mean_absolute_error": _plain(keras.losses.mean_absolute_error),
    "huber": _plain(keras.losses.huber),
    "poisson": _plain(keras.losses.poisson),
    "quantile": _plain(_quantile),
}


class RowLoss(keras.losses.Loss):
    """The mean over rows of a loss of the specification, each times its weight.

    Of a label that is normalized it compares scaled numbers: predictions come in its own units.
    """

    def __init__(self, loss: Loss, units: LabelUnits | None = None) -> None:
        super().__init__(name=loss.name)
        self._of_row, self._options, self._units = OF_ROW[loss.name], loss.options, units

    def call(self, y_true: Any, y_pred: Any) -> Any:
        if self._units is not None:
            y_true = self._units.scaled(keras.ops.cast(y_true, y_pred.dtype))
            y_pred = self._units.scaled(y_pred)
        return self._of_row(y_true, y_pred, **self._options)


def new_loss(loss: Loss, units: LabelUnits | None = None) -> keras.losses.Loss:
    """A loss of a specification; `units` is the last layer of an output of a normalized label."""
    return RowLoss(loss, units)


class FormulaMetric(keras.metrics.Metric):
    """A metric by the formula that the evaluation uses, for those that Keras does not have.

    Totals are summed in float64 by NumPy, outside of TensorFlow's graph.
    """

    def __init__(self, name: str, kind: Kind, units: int) -> None:
        """
        Args:
            name: the metric's printed name.
            kind: what is predicted.
            units: how many numbers a prediction has.
        """
        super().__init__(name=name, dtype="float64")
        self._kind, self._formula = kind, formula(kind, name)
        empty = self._totals(np.zeros((1, units if kind == "multi_label" else 1)),
                             np.full((1, units), 1 / units, "float32"))  # fmt: skip
        self._sum = self.add_variable(empty.shape, "zeros", dtype="float64", name="totals")

    def _totals(self, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
        prepared = self._formula.prepare(*as_rows(self._kind, labels, predictions))
        totals = self._formula.totals(prepared, np.ones(len(predictions)))
        return np.asarray(totals, "float64")

    def _value(self, totals: np.ndarray) -> np.ndarray:
        return np.asarray(self._formula.value(totals), "float64")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        added = tf.numpy_function(self._totals, [y_true, y_pred], tf.float64, stateful=False)
        self._sum.assign_add(tf.ensure_shape(added, self._sum.shape))

    def result(self) -> Any:
        value = tf.numpy_function(
            self._value, [tf.convert_to_tensor(self._sum)], tf.float64, stateful=False
        )
        return tf.ensure_shape(value, ())


class _BinaryLogLoss(keras.metrics.BinaryCrossentropy):
    """Keras's, which alone of its metrics takes no labels of another rank than the predictions."""

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        y_true = keras.ops.reshape(y_true, keras.ops.shape(y_pred))
        super().update_state(y_true, y_pred, sample_weight)


def _in_float64(kind: Any, name: str) -> keras.metrics.Metric:
    """Keras's metric of numbers in float64, as in the evaluation.

    In float32 the square of an error of 1e20 is infinity.
    """

    class InFloat64(kind):
        def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
            y_true, y_pred = (keras.ops.cast(v, "float64") for v in (y_true, y_pred))
            super().update_state(y_true, y_pred, sample_weight)

    return InFloat64(name=name, dtype="float64")


def _keras_metric(name: str, kind: Kind, units: int) -> keras.metrics.Metric | None:
    """Keras's own metric, where it has the same."""
    plain, value = split(name)
    thresholds = None if value == 0.5 else value
    several = kind == "multi_label"
    if kind == "category":
        own: dict[str, Callable[[], keras.metrics.Metric]] = {
            "accuracy": lambda: keras.metrics.SparseCategoricalAccuracy(name=name),
            "top_3_accuracy": lambda: keras.metrics.SparseTopKCategoricalAccuracy(3, name=name),
            "log_loss": lambda: keras.metrics.SparseCategoricalCrossentropy(name=name),
        }
    elif kind == "number":
        own = {
            "mean_squared_error": lambda: _in_float64(keras.metrics.MeanSquaredError, name),
            "mean_absolute_error": lambda: _in_float64(keras.metrics.MeanAbsoluteError, name),
            "root_mean_squared_error": lambda: _in_float64(
                keras.metrics.RootMeanSquaredError, name
            ),
        }
    else:
        labels = units if several else None
        own = {
            "accuracy": lambda: keras.metrics.BinaryAccuracy(name=name, threshold=value),
            "auc": lambda: keras.metrics.AUC(name=name, multi_label=several, num_labels=labels),
            "pr_auc": lambda: keras.metrics.AUC(
                name=name, curve="PR", multi_label=several, num_labels=labels
            ),
            "precision": lambda: keras.metrics.Precision(thresholds, name=name),
            "recall": lambda: keras.metrics.Recall(thresholds, name=name),
            "log_loss": lambda: _BinaryLogLoss(name=name),
        }
    return own[plain]() if plain in own else None


def new_metric(name: str, kind: Kind, units: int = 1) -> keras.metrics.Metric:
    """A fresh metric.

    Args:
        name: its printed name.
        kind: what is predicted. The `auc` of several classes is the mean of theirs; their other
            metrics count every yes or no alike, but for those of `macro_`.
        units: how many numbers a prediction has.
    """
    metric = _keras_metric(name, kind, units) or FormulaMetric(name, kind, units)
    metric._direction = "up" if larger_is_better(name) else "down"  # for Keras's EarlyStopping
    return metric


def is_binary(specification: Specification, output: str) -> bool:
    """Whether each number of an output is the probability of a yes.

    It is that of the second of two classes, or of each class of a label of type multi_label.
    """
    return specification.kind_of(output) in ("binary", "multi_label")


def _units(specification: Specification, output: str) -> int:
    label = specification.label_of(output)
    if isinstance(label, NumberLabel) or specification.kind_of(output) == "binary":
        return 1
    return len(label.classes)


def compile_arguments(
    specification: Specification, units: Mapping[str, LabelUnits] | None = None
) -> dict[str, dict]:
    """What `keras.Model.compile` takes of losses and metrics, by output.

    `units` has the last layer of each output of a normalized label (`FusedModel.units`).
    """
    outputs = specification.outputs
    losses = {
        name: new_loss(output.loss, (units or {}).get(name)) for name, output in outputs.items()
    }
    metrics = {
        name: [
            new_metric(metric, specification.kind_of(name), _units(specification, name))
            for metric in output.metrics
        ]
        for name, output in outputs.items()
    }
    weights = {name: output.weight for name, output in outputs.items()}
    over_rows = {}
    if len(outputs) > 1:  # else the loss of the one output is the loss itself
        over_rows = {name: [LossOverRows(loss)] for name, loss in losses.items()}
    return {
        "loss": losses, "loss_weights": weights, "metrics": metrics, "weighted_metrics": over_rows,
    }  # fmt: skip


class LossOverRows(keras.metrics.Mean):
    """An output's loss as its mean over rows; Keras itself gives the mean over batches.

    A row counts as much in a small last batch as in any other. Rows of weighted classes count as in
    the loss itself: weighted, divided by the number of rows.
    """

    # No name that a specification can lead to: they hold no dot.
    NAME = "over.rows"

    def __init__(self, loss: keras.losses.Loss) -> None:
        super().__init__(name=self.NAME, dtype="float32")
        self._loss = loss

    def update_state(self, labels: Any, predictions: Any, sample_weight: Any = None) -> None:
        mean = self._loss(labels, predictions, sample_weight)
        super().update_state(mean, sample_weight=keras.ops.shape(predictions)[0])


class ExactLogs(keras.callbacks.Callback):
    """Puts the means over rows in the place of Keras's means over batches; the first callback."""

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        suffix = f"_{LossOverRows.NAME}"
        logs = {} if logs is None else logs
        for name in [name for name in logs if name.endswith(suffix)]:
            logs[f"{name.removesuffix(suffix)}_loss"] = logs.pop(name)
