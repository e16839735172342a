"""Losses and metrics by Keras, NumPy and scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn import metrics as sk

from tests.differential.labels import kind_of

PLAIN = (
    "categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mean_absolute_error",
    "huber",
)  # fmt: skip
PLAIN_METRICS = (
    "accuracy", "top_3_accuracy", "auc", "precision", "recall", "mean_squared_error",
    "mean_absolute_error", "root_mean_squared_error",
)  # fmt: skip


def loss_of(output: Mapping[str, Any], labels: Any, predictions: Any) -> Any:
    """The loss of every row `(rows,)`."""
    if output["loss"] not in PLAIN or "loss_options" in output:
        return _further_loss(output, labels, predictions)
    loss, kind = output["loss"], output["label"]["type"]
    if loss == "categorical_crossentropy":
        return keras.losses.sparse_categorical_crossentropy(labels, predictions)
    labels = tf.cast(labels, tf.float32)
    if kind == "category":
        labels = labels[:, None]
    return getattr(keras.losses, loss)(labels, predictions)


def metric_of(
    output: Mapping[str, Any], metric: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
    """A metric by NumPy; `auc` by 200 thresholds, as Keras documents it."""
    if metric.partition("@")[0] not in PLAIN_METRICS or "@" in metric:
        return float(_further_metric(output, metric, labels, predictions))
    if "error" in metric:
        errors = (labels.reshape(-1) - predictions.reshape(-1)).astype(np.float64)
        squared = np.mean(errors**2)
        return float({
            "mean_squared_error": squared, "root_mean_squared_error": np.sqrt(squared),
            "mean_absolute_error": np.mean(np.abs(errors)),
        }[metric])  # fmt: skip
    if kind_of(output) == "category":
        if metric == "accuracy":
            return float(np.mean(predictions.argmax(axis=1) == labels))
        own = predictions[np.arange(len(labels)), labels]
        return float(np.mean((predictions > own[:, None]).sum(axis=1) < 3))
    true = labels.reshape(len(predictions), -1).astype(bool)
    said = predictions > 0.5
    if metric == "accuracy":
        return float(np.mean(said == true))
    if metric == "precision":
        return float((said & true).sum() / max(said.sum(), 1))
    if metric == "recall":
        return float((said & true).sum() / max(true.sum(), 1))
    return float(np.mean([_area(true[:, n], predictions[:, n]) for n in range(true.shape[1])]))


def _area(true: np.ndarray, chances: np.ndarray) -> float:
    epsilon = 1e-7
    limits = np.r_[-epsilon, np.arange(1, 199) / 199, 1 + epsilon].astype("float32")
    over = chances[:, None] > limits
    hits = (over & true[:, None]).sum(axis=0) / max(true.sum(), 1)
    false = (over & ~true[:, None]).sum(axis=0) / max((~true).sum(), 1)
    return float(np.sum((false[:-1] - false[1:]) * (hits[:-1] + hits[1:]) / 2))


def _further_loss(output: Mapping[str, Any], labels: Any, predictions: Any) -> Any:
    """The loss of every row `(rows,)`; of a normalized label of scaled numbers."""
    loss, options = output["loss"], output.get("loss_options", {})
    if kind_of(output) == "category":
        labels = tf.one_hot(labels, predictions.shape[-1])
    labels = tf.reshape(tf.cast(labels, tf.float32), tf.shape(predictions))
    if loss == "quantile":
        over = tf.nn.relu(labels - predictions) * options["quantile"]
        under = tf.nn.relu(predictions - labels) * (1 - options["quantile"])
        return tf.reduce_mean(over + under, axis=-1)
    if loss == "hinge":
        chances = tf.clip_by_value(predictions, 1e-7, 1 - 1e-7)
        scores = tf.math.log(chances / (1 - chances))
        return tf.reduce_mean(tf.nn.relu(1 - (2 * labels - 1) * scores), axis=-1)
    if loss == "binary_focal_crossentropy" and "alpha" in options:
        options = {**options, "apply_class_balancing": True}
    return getattr(keras.losses, loss)(labels, predictions, **options)


def _further_metric(
    output: Mapping[str, Any], metric: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
    """A further metric by scikit-learn."""
    name, _, text = metric.partition("@")
    value, kind = float(text or 0.5), kind_of(output)
    if kind == "number":
        if name == "r2":
            # Squares of labels of 1e30 overflow in float32.
            return sk.r2_score(
                *(np.float64(values).reshape(-1) for values in (labels, predictions))
            )
        return sk.mean_pinball_loss(labels.reshape(-1), predictions.reshape(-1), alpha=value)
    if kind == "category":
        said = predictions.argmax(axis=1)
        classes = range(predictions.shape[1])
        return {
            "macro_f1": lambda: sk.f1_score(
                labels, said, average="macro", labels=classes, zero_division=0
            ),
            "balanced_accuracy": lambda: sk.balanced_accuracy_score(labels, said),
            "log_loss": lambda: sk.log_loss(labels, predictions, labels=classes),
        }[name]()
    true = labels.reshape(predictions.shape)
    said = predictions > value
    if name == "log_loss":
        chances = predictions.astype(np.float64)
        return float(-np.mean(np.log(np.where(true == 1, chances, 1 - chances))))
    if name == "balanced_accuracy":
        return sk.balanced_accuracy_score(true[:, 0], said[:, 0])
    if name == "macro_recall":
        return sk.recall_score(true, said, average="macro", zero_division=0)
    score = {"f1": sk.f1_score, "precision": sk.precision_score}[name]
    return score(true.reshape(-1), said.reshape(-1), zero_division=0)
