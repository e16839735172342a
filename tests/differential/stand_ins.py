"""What stands for parts of the product: rows in memory, and a checkpoint that ends training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.training.checkpoint import Checkpoint, State

PLACE = "differential.place"  # a column of row numbers, to learn in which order rows come


class MemoryRows:
    """Rows in memory, as the product's training takes them."""

    def __init__(self, arrays: Mapping[str, Any], places: np.ndarray) -> None:
        self._arrays = {name: tf.constant(values) for name, values in arrays.items()}
        self._places = places

    def tensors(self, numbers: Any) -> dict[str, Any]:
        found = {name: tf.gather(values, numbers) for name, values in self._arrays.items()}
        return {**found, PLACE: tf.gather(tf.constant(self._places), numbers)}

    def count(self) -> int:
        return len(self._places)

    def class_indices(self, label: str) -> np.ndarray:
        return self._arrays[label].numpy()

    def label_values(self, label: str) -> np.ndarray:
        return self._arrays[label].numpy().reshape(-1)


class Killed(Exception):  # noqa: N818
    """What stops training at a point."""


class Killing(Checkpoint):
    """A checkpoint that lets so many epochs pass and then raises."""

    def __init__(self, folder: Path, epochs: int) -> None:
        super().__init__(folder)
        self._left = epochs

    def save(self, state: State) -> None:
        super().save(state)
        self._left -= 1
        if not self._left:
            raise Killed


class Identity:
    """Stands for a Transform graph over rows that are transformed already."""

    def __init__(self, specs: Mapping[str, tf.io.FixedLenFeature]) -> None:
        self._specs = dict(specs)

    is_own = False

    def check(self, names: Iterable[str]) -> None:
        assert self._specs.keys() >= set(names)

    def parse(self, serialized: Any, names: Iterable[str], transformed: bool) -> dict[str, Any]:
        return tf.io.parse_example(serialized, {name: self._specs[name] for name in names})

    def row_ids(self, serialized: Any, transformed: bool) -> Any:
        spec = {"row_id": tf.io.FixedLenFeature((), tf.string)}
        return tf.io.parse_example(serialized, spec)["row_id"]


def dtype_of(values: np.ndarray) -> tf.DType:
    if values.dtype == object:
        return tf.string
    return tf.int64 if values.dtype.kind == "i" else tf.float32


def feature_of(value: Any) -> tf.train.Feature:
    array = np.asarray(value).reshape(-1)
    if array.dtype.kind == "i":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=array))
    if array.dtype.kind == "f":
        return tf.train.Feature(float_list=tf.train.FloatList(value=array))
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode() for v in array]))
