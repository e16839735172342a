"""The training data: tf.Examples read, transformed and batched on the fly, never stored decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from modules.errors import RunError
from modules.fusion.topology import used_features
from modules.preprocessing.graph import TransformGraph
from modules.spec import CategoryLabel, Specification

SHUFFLE_ROWS = 4096


class Epochs(NamedTuple):
    """Batches for training without end in sight: `batches(n)` starts with those of epoch n.

    The order within epoch n depends on the seed and n alone, so that a run that is taken up again
    sees what an unbroken one would have seen.
    """

    batches: Callable[[int], tf.data.Dataset]
    steps: int


def example_files(folder: str) -> list[str]:
    """The record files of a split, in the data's order."""
    return sorted(tf.io.gfile.glob(f"{folder}/data_tfrecord-*"))


def training_rows(specification: Specification, transform: TransformGraph, folder: str) -> Epochs:
    """Shuffled batches of `({feature: (batch, …)}, {output: …}, {output: weights (batch,)})`.

    The weights are there where some output has class weights.
    """
    training = specification.training
    files = example_files(folder)
    rows = tf.data.TFRecordDataset(files)
    counts = _label_counts(specification, transform, files)
    number = counts.pop("rows")["all"]
    weights = {
        name: tf.constant(_weights(specification, name, counts[name]), tf.float32)
        for name, output in specification.outputs.items()
        if output.class_weights is not None
    }
    prepare = _prepare(specification, transform)

    def weighed(serialized: tf.Tensor) -> tuple[dict[str, Any], ...]:
        features, labels = prepare(serialized)
        if not weights:
            return features, labels
        return features, labels, {
            name: tf.gather(weights[name], labels[name]) if name in weights
            else tf.ones(tf.shape(labels[name])[:1])
            for name in labels
        }  # fmt: skip

    def of_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        seed = training.seed + epoch
        shuffled = rows.shuffle(SHUFFLE_ROWS, seed=seed, reshuffle_each_iteration=False)
        return shuffled.batch(training.batch_size)

    def batches(first_epoch: int) -> tf.data.Dataset:
        last = first_epoch + sum(stage.epochs for stage in training.stages)
        every = tf.data.Dataset.range(first_epoch, last).flat_map(of_epoch)
        return every.map(weighed, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)

    return Epochs(batches, -(-number // training.batch_size))


def evaluation_rows(
    specification: Specification, transform: TransformGraph, folder: str
) -> tf.data.Dataset:
    """Batches of `({feature: (batch, …)}, {output: (batch, …)})` in their own order."""
    batches = tf.data.TFRecordDataset(example_files(folder)).batch(
        specification.training.batch_size
    )
    prepare = _prepare(specification, transform)
    return batches.map(prepare, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)


def _prepare(
    specification: Specification, transform: TransformGraph
) -> Callable[[tf.Tensor], tuple[dict[str, Any], dict[str, Any]]]:
    outputs = {name: specification.label_name(name) for name in specification.outputs}
    # Others would be taken for the model's inputs by their place.
    used = used_features(specification)

    def prepare(serialized: tf.Tensor) -> tuple[dict[str, Any], dict[str, Any]]:
        tensors = transform.parse(serialized)
        features = {name: tensors[name] for name in used}
        return features, {name: tensors[label] for name, label in outputs.items()}

    return prepare


def _label_counts(
    specification: Specification, transform: TransformGraph, files: list[str]
) -> dict[str, Counter[str]]:
    """How many rows there are, and of each class where an output has class weights."""
    wanted = {
        name: specification.label_name(name)
        for name, output in specification.outputs.items()
        if output.class_weights is not None
    }
    known = transform.example_spec()
    parse = {"row_id": known["row_id"], **{label: known[label] for label in wanted.values()}}
    counts: dict[str, Counter[str]] = {"rows": Counter(), **{name: Counter() for name in wanted}}
    for serialized in tf.data.TFRecordDataset(files).batch(1024):
        parsed = tf.io.parse_example(serialized, parse)
        counts["rows"]["all"] += len(parsed["row_id"])
        for name, label in wanted.items():
            counts[name].update(value.decode() for value in parsed[label].numpy())
    return counts


def _weights(specification: Specification, name: str, counts: Counter[str]) -> list[float]:
    """The weight of each class of an output, in the classes' order."""
    label = specification.label_of(name)
    given = specification.outputs[name].class_weights
    if not isinstance(label, CategoryLabel) or given is None:
        raise RunError(
            f"outputs.{name}.class_weights: only a label of type category gives a row one class"
        )
    if given != "balanced":
        return [given.get(text, 1.0) for text in label.classes]
    missing = [text for text in label.classes if not counts[text]]
    if missing:
        raise RunError(
            f"outputs.{name}.class_weights: 'balanced' needs rows of every class to train on, "
            f"found none of {', '.join(missing)}: give the weights, or take the classes out"
        )
    total = sum(counts.values())
    return [total / (len(label.classes) * counts[text]) for text in label.classes]
