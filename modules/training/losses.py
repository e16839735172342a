"""Losses and metrics of Keras by the specification's names.

Labels of type category are class indices, so the sparse losses and metrics are used: the same
number as of the categorical ones, without a one-hot copy of every label. Those of type multi_label
hold 0 or 1 for each class.
"""

from __future__ import annotations

from collections.abc import Callable

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
    """`loss`, `loss_weights` and `metrics` for `keras.Model.compile`, by output."""
    outputs = specification.outputs
    losses, metrics = {}, {}
    for name, output in outputs.items():
        losses[name] = LOSSES[output.loss]()
        binary = is_binary(specification, name)
        label = specification.label_of(name)
        labels = len(label.classes) if isinstance(label, MultiLabel) else None
        metrics[name] = [new_metric(metric, binary, labels) for metric in output.metrics]
    weights = {name: output.weight for name, output in outputs.items()}
    return {"loss": losses, "loss_weights": weights, "metrics": metrics}
