"""Training data in batches, of raw rows transformed on the fly or of embedded rows.

Both come in the same order, so that a head learns the same from either. The order is a permutation
of all rows, computed number by number: rows that the data file sorts, by class say, come mixed at
any size, and nothing is buffered.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import Folders, example_files, is_transformed
from tfx_fusion.modules.data.records import Records, record_dataset
from tfx_fusion.modules.embedding.embedder import check_records
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import CategoryLabel, Fusion, weights_name

# Of the block cipher that numbers rows anew. `tf.random.experimental.index_shuffle` takes 4, which
# leaves a pattern: of 65,536 rows sorted by two classes, each batch would hold half of either.
SHUFFLE_ROUNDS = 16


class Rows(Protocol):
    """The rows of a split, by their numbers from 0 in the data's order."""

    def tensors(self, numbers: Any) -> dict[str, Any]:
        """The model's inputs and the labels `(batch, …)` by name, of row numbers `(batch,)`."""

    def count(self) -> int:
        """How many rows there are."""

    def class_indices(self, label: str) -> np.ndarray:
        """The class of every row `(rows,)`, by its place among the label's classes."""

    def label_values(self, label: str) -> np.ndarray:
        """The number of every row `(rows,)`, of a label of type number."""

    def row_ids(self, numbers: Any) -> list[str]:
        """The ids of row numbers `(batch,)`."""


class RawRows:
    """tf.Examples, parsed, decoded and transformed anew in every epoch."""

    def __init__(self, specification: Fusion, transform: TransformGraph, folders: Folders) -> None:
        self._specification, self._transform = specification, transform
        self._files = example_files(folders)
        self._records = Records(self._files)
        self._transformed = any(map(is_transformed, self._files))

    def tensors(self, numbers: Any) -> dict[str, Any]:
        return self._transform.parse(self._records.read(numbers), transformed=self._transformed)

    def count(self) -> int:
        return len(self._records)

    def class_indices(self, label: str) -> np.ndarray:
        known = self._specification.labels[label]
        if not isinstance(known, CategoryLabel):
            raise TypeError(f"labels.{label} has no classes")
        return self.label_values(label)

    def label_values(self, label: str) -> np.ndarray:
        parse = partial(self._transform.label, name=label, transformed=self._transformed)
        labels = record_dataset(self._files).batch(1024).map(parse)
        return np.concatenate([found.numpy().reshape(-1) for found in labels])

    def row_ids(self, numbers: Any) -> list[str]:
        records = self._records.read(tf.convert_to_tensor(numbers))
        found = self._transform.row_ids(records, self._transformed).numpy()
        return [
            row_id.decode() or self._records.name(int(number))
            for row_id, number in zip(found, numbers, strict=True)
        ]

    def check_records(self, error: Exception) -> None:
        """Raises RunError, from an error, for the first row that cannot be read.

        All are read one by one: for when reading them has failed.
        """
        for file in self._files:
            place = 0
            for records in record_dataset([file]).batch(1024).as_numpy_iterator():
                check_records(self._transform, records, file, place, error)
                place += len(records)


class WithoutRows:
    """The rows of a split but for those at some places in its order, counted from 0."""

    def __init__(self, rows: Rows, places: Collection[int]) -> None:
        self._rows, self._places = rows, sorted(places)
        rest = np.delete(np.arange(rows.count()), self._places)
        self._numbers = tf.constant(rest, tf.int64)

    def tensors(self, numbers: Any) -> dict[str, Any]:
        return self._rows.tensors(tf.gather(self._numbers, numbers))

    def count(self) -> int:
        return len(self._numbers)

    def class_indices(self, label: str) -> np.ndarray:
        return np.delete(self._rows.class_indices(label), self._places)

    def label_values(self, label: str) -> np.ndarray:
        return np.delete(self._rows.label_values(label), self._places)

    def row_ids(self, numbers: Any) -> list[str]:
        return self._rows.row_ids(tf.gather(self._numbers, numbers))


def read_row_ids(records: Records, numbers: Any) -> list[str]:
    """The ids in records of tf.Examples, of row numbers `(batch,)`."""
    spec = {"row_id": tf.io.FixedLenFeature((), tf.string)}
    found = tf.io.parse_example(records.read(tf.convert_to_tensor(numbers)), spec)["row_id"]
    return [row_id.decode() for row_id in found.numpy()]


def _no_numbers(label: str) -> np.ndarray:
    raise TypeError(f"labels.{label}: the rows have no numbers")


class Epochs(NamedTuple):
    """Batches of all epochs in a row: `batches(n)` starts with those of epoch n.

    The order within epoch n depends only on the seed and n, so that a resumed run sees what an
    uninterrupted one would have seen. `label_values` is that of the rows.
    """

    batches: Callable[[int], tf.data.Dataset]
    steps: int
    label_values: Callable[[str], np.ndarray] = _no_numbers


def training_rows(specification: Fusion, rows: Rows, inputs: Sequence[str]) -> Epochs:
    """Shuffled batches of `({input: (batch, …)}, {output: …}, {output: weights (batch,)})`.

    Weights exist where some output has class weights or its label row weights: they are the product
    of both. `inputs` are the model's: Keras would match others to them by position.
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
    count, steps = rows.count(), _steps(specification, rows)

    def weights(name: str, tensors: dict[str, Any], labels: Any) -> Any:
        found = tf.ones(tf.shape(labels)[:1])
        if name in of_classes:
            found = tf.gather(of_classes[name], labels)
        return found * tensors[of_rows[name]] if name in of_rows else found

    def batch(step: tf.Tensor) -> tuple[dict[str, Any], ...]:
        epoch, place = step // steps, step % steps
        numbers = tf.raw_ops.RandomIndexShuffle(
            index=_numbers(place, training.batch_size, count),
            seed=tf.stack([tf.constant(training.seed, tf.int64), epoch, 0]),
            max_index=tf.constant(count - 1, tf.int64),
            rounds=SHUFFLE_ROUNDS,
        )
        tensors = rows.tensors(numbers)
        features, labels = prepare(tensors)
        if not of_classes and not of_rows:
            return features, labels
        return features, labels, {
            name: weights(name, tensors, value) for name, value in labels.items()
        }  # fmt: skip

    def batches(first_epoch: int) -> tf.data.Dataset:
        last = first_epoch + sum(stage.epochs for stage in training.stages)
        every = tf.data.Dataset.range(first_epoch * steps, last * steps)
        return every.map(batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return Epochs(batches, steps, rows.label_values)


def evaluation_rows(specification: Fusion, rows: Rows, inputs: Sequence[str]) -> tf.data.Dataset:
    """Batches of `({input: (batch, …)}, {output: (batch, …)})` in the order of the data.

    Their number is known to Keras, which else tries for one more and counts it in the mean losses.
    """
    size, count = specification.training.batch_size, rows.count()
    prepare = _prepare(specification, inputs)
    return (
        tf.data.Dataset.range(_steps(specification, rows))
        .map(
            lambda place: prepare(rows.tensors(_numbers(place, size, count))),
            num_parallel_calls=tf.data.AUTOTUNE,
        )
        .prefetch(tf.data.AUTOTUNE)
    )


def _numbers(place: Any, size: int, count: int) -> Any:
    """The numbers `(batch,)` from 0 of the batch at a place; the last batch may be smaller."""
    return tf.range(place * size, tf.minimum((place + 1) * size, count))


def _steps(specification: Fusion, rows: Rows) -> int:
    """How many batches an epoch has."""
    return -(-rows.count() // specification.training.batch_size)


def _prepare(
    specification: Fusion, inputs: Sequence[str]
) -> Callable[[dict[str, Any]], tuple[dict[str, Any], dict[str, Any]]]:
    outputs = {name: specification.label_name(name) for name in specification.outputs}

    def prepare(tensors: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        return (
            {name: tensors[name] for name in inputs},
            {name: tensors[label] for name, label in outputs.items()},
        )

    return prepare


def _class_weights(specification: Fusion, name: str, rows: Rows) -> list[float]:
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
