"""The training data: tf.Examples read, transformed and batched on the fly, never stored decoded."""

from __future__ import annotations

import tensorflow as tf

from modules.preprocessing.graph import TransformGraph
from modules.spec import Specification

SHUFFLE_ROWS = 4096


def example_files(folder: str) -> list[str]:
    """The record files of a split, in the data's order."""
    return sorted(tf.io.gfile.glob(f"{folder}/data_tfrecord-*"))


def dataset(
    specification: Specification,
    transform: TransformGraph,
    folder: str,
    shuffle: bool,
) -> tf.data.Dataset:
    """Batches of `({feature: (batch, …)}, {output: (batch,) or (batch, 1)})`.

    With `shuffle` the order changes from epoch to epoch, the same in every run of a seed.
    """
    training = specification.training
    outputs = {name: specification.label_name(name) for name in specification.outputs}
    rows = tf.data.TFRecordDataset(example_files(folder))
    if shuffle:
        rows = rows.shuffle(SHUFFLE_ROWS, seed=training.seed, reshuffle_each_iteration=True)

    def split(serialized: tf.Tensor) -> tuple[dict, dict]:
        tensors = transform.parse(serialized)
        features = {name: tensors[name] for name in specification.features}
        return features, {name: tensors[label] for name, label in outputs.items()}

    batches = rows.batch(training.batch_size)
    return batches.map(split, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
