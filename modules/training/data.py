"""Training data in batches, of raw rows transformed on the fly or of embedded rows.

Both come in the same order, so that a head learns the same from either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.split import example_files
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import CategoryLabel, Specification, weights_name

SHUFFLE_ROWS = 4096


class Rows(Protocol):
    """The rows of a split. A handle represents a row until it is in a batch."""

    def handles(self) -> tf.data.Dataset:
        """A handle for each row, in the data's order."""

    def tensors(self, handles: Any) -> dict[str, Any]:
        """Handles `(batch,)` to the model's inputs and the labels, `(batch, …)` by name."""

    def count(self) -> int:
        """How many rows there are."""

    def class_indices(self, label: str) -> np.ndarray:
        """The class of every row `(rows,)`, by its place among the label's classes."""

    def label_values(self, label: str) -> np.ndarray:
        """The number of every row `(rows,)`, of a label of type number."""


class RawRows:
    """tf.Examples, parsed, decoded and transformed anew in every epoch."""

    def __init__(
        self, specification: Specification, transform: TransformGraph, folder: str
    ) -> None:
        self._specification, self._transform = specification, transform
        self._files = example_files(folder)

    def handles(self) -> tf.data.Dataset:
        return tf.data.TFRecordDataset(self._files)

    def tensors(self, handles: Any) -> dict[str, Any]:
        return self._transform.parse(handles)

    def count(self) -> int:
        return sum(1 for _ in self.handles())

    def class_indices(self, label: str) -> np.ndarray:
        known = self._specification.labels[label]
        if not isinstance(known, CategoryLabel):
            raise TypeError(f"labels.{label} has no classes")
        places = {text.encode(): place for place, text in enumerate(known.classes)}
        return np.array([places[text] for text in self.label_values(label)])

    def label_values(self, label: str) -> np.ndarray:
        # Without the Transform graph, which would decode every image.
        spec = {label: self._transform.example_spec()[label]}
        batches = self.handles().batch(1024)
        found = [tf.io.parse_example(rows, spec)[label].numpy() for rows in batches]
        return np.concatenate(found)


class Epochs(NamedTuple):
    """Batches of all epochs in a row: `batches(n)` starts with those of epoch n.

    The order within epoch n depends only on the seed and n, so that a resumed run sees what an
    uninterrupted one would have seen. `label_values` is that of the rows.
    """

    batches: Callable[[int], tf.data.Dataset]
    steps: int
    label_values: Callable[[str], np.ndarray]


def training_rows(specification: Specification, rows: Rows, inputs: Sequence[str]) -> Epochs:
    """Shuffled batches of `({input: (batch, …)}, {output: …}, {output: weights (batch,)})`.

    Weights exist where some output has class weights or its label row weights: they are the product
    of both. `inputs` are the model's: Keras would match
    others to them by position.
    """
    training = specification.training
    of_classes = {
        name: tf.constant(_class_weights(specification, name, rows), tf.float32)
        for name, output in specification.outputs.items()
        if output.class_weights is not None
    }
    of_rows = {
        name: weights_name(specification.label_name(name))
        for name in specification.outputs
        if specification.label_of(name).row_weights is not None
    }
    prepare = _prepare(specification, inputs)

    def weights(name: str, tensors: dict[str, Any], labels: Any) -> Any:
        found = tf.ones(tf.shape(labels)[:1])
        if name in of_classes:
            found = tf.gather(of_classes[name], labels)
        return found * tensors[of_rows[name]] if name in of_rows else found

    def weighted(handles: tf.Tensor) -> tuple[dict[str, Any], ...]:
        tensors = rows.tensors(handles)
        features, labels = prepare(tensors)
        if not of_classes and not of_rows:
            return features, labels
        return features, labels, {
            name: weights(name, tensors, value) for name, value in labels.items()
        }  # fmt: skip

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        seed = training.seed + epoch
        shuffled = rows.handles().shuffle(SHUFFLE_ROWS, seed=seed, reshuffle_each_iteration=False)
        return shuffled.batch(training.batch_size)

    def batches(first_epoch: int) -> tf.data.Dataset:
        last = first_epoch + sum(stage.epochs for stage in training.stages)
        every = tf.data.Dataset.range(first_epoch, last).flat_map(of_epoch)
        return every.map(weighted, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return Epochs(batches, _steps(specification, rows), rows.label_values)


def evaluation_rows(
    specification: Specification, rows: Rows, inputs: Sequence[str]
) -> tf.data.Dataset:
    """Batches of `({input: (batch, …)}, {output: (batch, …)})` in the order of the data."""
    batches = rows.handles().batch(specification.training.batch_size)
    prepare = _prepare(specification, inputs)
    batches = batches.map(
        lambda handles: prepare(rows.tensors(handles)), num_parallel_calls=tf.data.AUTOTUNE
    )
    # Without a known number of batches Keras tries for one more and counts it in the mean losses.
    known = tf.data.experimental.assert_cardinality(_steps(specification, rows))
    return batches.apply(known).prefetch(tf.data.AUTOTUNE)


def _steps(specification: Specification, rows: Rows) -> int:
    """How many batches an epoch has."""
    return -(-rows.count() // specification.training.batch_size)


def _prepare(
    specification: Specification, inputs: Sequence[str]
) -> Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]:
    outputs = {name: specification.label_name(name) for name in specification.outputs}

    def prepare(tensors: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return (
            {name: tensors[name] for name in inputs},
            {name: tensors[label] for name, label in outputs.items()},
        )

    return prepare


def _class_weights(specification: Specification, name: str, rows: Rows) -> list[float]:
    """The weight of each class of an output, in the classes' order."""
    label = specification.label_of(name)
    given = specification.outputs[name].class_weights
    if not isinstance(label, CategoryLabel) or given is None:
        raise RunError(
            f"outputs.{name}.class_weights: only a label of type category gives a row one class"
        )
    if given != "balanced":
        return [given.get(text, 1.0) for text in label.classes]
    found = rows.class_indices(specification.label_name(name))
    counts = np.bincount(found, minlength=len(label.classes))
    missing = [text for text, count in zip(label.classes, counts, strict=True) if not count]
    if missing:
        raise RunError(
            f"outputs.{name}.class_weights: 'balanced' needs rows of every class to train on, "
            f"found none of {', '.join(missing)}: write the weights, or remove the classes"
        )
    return [len(found) / (len(label.classes) * int(count)) for count in counts]
