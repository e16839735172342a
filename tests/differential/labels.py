"""Further losses, metrics, row weights and units of labels, drawn, and by scikit-learn and Keras.

They are drawn by a generator of their own, which leaves the rest of a seed's case as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn import metrics as sk

LOSSES: dict[str, list[tuple[str, dict[str, float]]]] = {
    "category": [
        ("categorical_crossentropy", {"label_smoothing": 0.1}),
        ("categorical_focal_crossentropy", {"gamma": 1.5}),
        ("cosine_similarity", {}),
    ],
    "binary": [
        ("binary_crossentropy", {"label_smoothing": 0.1}),
        ("binary_focal_crossentropy", {"alpha": 0.3}),
        ("hinge", {}),
    ],
    "multi_label": [
        ("binary_crossentropy", {"label_smoothing": 0.1}),
        ("binary_focal_crossentropy", {}),
        ("hinge", {}),
        ("cosine_similarity", {}),
    ],
    "number": [("quantile", {"quantile": 0.8}), ("huber", {"delta": 0.5})],
}
METRICS = {
    "category": ["macro_f1", "balanced_accuracy", "log_loss"],
    "binary": ["f1@0.3", "balanced_accuracy", "log_loss", "precision@0.3"],
    "multi_label": ["f1@0.3", "macro_recall", "log_loss"],
    "number": ["r2", "quantile_loss@0.8"],
}
BINARY = ("binary_crossentropy", "binary_focal_crossentropy", "hinge")


def kind_of(output: Mapping[str, Any]) -> str:
    """What is predicted: category, binary, multi_label or number."""
    label = output["label"]["type"]
    return "binary" if label == "category" and output["loss"] in BINARY else label


def draw_more(output: dict[str, Any], random: np.random.Generator) -> None:
    """Changes a drawn output: a rarer loss, more metrics, row weights, a normalized label."""
    kind = kind_of(output)
    if random.random() < 0.35:
        known = LOSSES[kind]
        output["loss"], options = known[int(random.integers(len(known)))]
        if options:
            output["loss_options"] = options
    output["metrics"] += [metric for metric in METRICS[kind] if random.random() < 0.4]
    if random.random() < 0.3:
        output["row_weights"] = True
    if kind == "number" and random.random() < 0.5:
        normalize = "standard" if random.random() < 0.7 else "min_max"
        output["label"] |= {"normalize": normalize}
        output["mean"], output["deviation"] = 13.0, 3.0


def written(name: str, output: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An output and its label as a specification has them."""
    own = ("label", "loss_options", "row_weights", "mean", "deviation")
    found = {key: value for key, value in output.items() if key not in own}
    if "loss_options" in output:
        found["loss"] = {output["loss"]: output["loss_options"]}
    label = {**output["label"], "column": f"label_{name}"}
    if "row_weights" in output:
        label["row_weights"] = f"weights_{name}"
    return found, label


def units_of(output: Mapping[str, Any], labels: np.ndarray) -> tuple[float, float]:
    """What a label's numbers are scaled by, from those to train on."""
    values = labels.astype(np.float64)
    normalize = output["label"].get("normalize")
    if normalize == "standard":
        return float(values.mean()), float(values.std())
    if normalize == "min_max":
        return float(values.min()), float(values.max() - values.min())
    return 0.0, 1.0


def loss_of(output: Mapping[str, Any], labels: Any, predictions: Any) -> Any:
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


def metric_of(
    output: Mapping[str, Any], metric: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
    """A further metric by scikit-learn."""
    name, _, text = metric.partition("@")
    value, kind = float(text or 0.5), kind_of(output)
    if kind == "number":
        if name == "r2":
            return sk.r2_score(labels.reshape(-1), predictions.reshape(-1))
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
