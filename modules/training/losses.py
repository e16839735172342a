"""Losses and metrics of Keras by the specification's names.

Labels of type category are class indices, so the sparse losses and metrics are used: the same
number as of the categorical ones, without a one-hot copy of every label. Those of type multi_label
hold 0 or 1 for each class.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from tfx_fusion.modules.spec import MultiLabel, Specification

LOSSES: dict[str, Callable[[], keras.losses.Loss]] = {
    "categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
    "mean_squared_error": keras.losses.MeanSquaredError,
    "mean_absolute_error": keras.losses.MeanAbsoluteError,
    "huber": keras.losses.Huber,
}


def new_metric(name: str, binary: bool, labels: int | None = None) -> keras.metrics.Metric:
    """A fresh metric; `binary` where each number of the output is the probability of a yes.

    `labels` is how many classes a label of type multi_label has. Its `auc` is the mean of theirs;
    the other metrics count every yes or no alike.
    """
    if name == "accuracy" and binary:
        return keras.metrics.BinaryAccuracy(name=name)
    metrics: dict[str, Callable[[], keras.metrics.Metric]] = {
        "accuracy": lambda: keras.metrics.SparseCategoricalAccuracy(name=name),
        "top_3_accuracy": lambda: keras.metrics.SparseTopKCategoricalAccuracy(3, name=name),
        "auc": lambda: keras.metrics.AUC(
            name=name, multi_label=labels is not None, num_labels=labels
        ),
        "precision": lambda: keras.metrics.Precision(name=name),
        "recall": lambda: keras.metrics.Recall(name=name),
        "mean_squared_error": lambda: keras.metrics.MeanSquaredError(name=name),
        "mean_absolute_error": lambda: keras.metrics.MeanAbsoluteError(name=name),
        "root_mean_squared_error": lambda: keras.metrics.RootMeanSquaredError(name=name),
    }
    return metrics[name]()


def is_binary(specification: Specification, output: str) -> bool:
    """Whether each number of an output is the probability of a yes.

    It is that of the second of two classes, or of each class of a label of type multi_label.
    """
    return specification.outputs[output].loss == "binary_crossentropy"


def compile_arguments(specification: Specification) -> dict[str, dict]:
    """What `keras.Model.compile` takes of losses and metrics, by output."""
    outputs = specification.outputs
    losses, metrics = {}, {}
    for name, output in outputs.items():
        losses[name] = LOSSES[output.loss]()
        binary = is_binary(specification, name)
        label = specification.label_of(name)
        labels = len(label.classes) if isinstance(label, MultiLabel) else None
        metrics[name] = [new_metric(metric, binary, labels) for metric in output.metrics]
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
