"""The format of embedded rows: tf.Examples with a feature for each column, and a contents page.

Values are stored as tf.Example can: floats as float32 (float64 is narrowed, as the head's layers
would do), whole numbers and flags as int64, text as it is. Each is read back in its own dtype.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import finish, temporary_file
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.spec.base import Part

CONTENTS_FILE = "embeddings.json"


class Column(Part):
    """One column of embedded rows; the shape leaves the batch out."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @classmethod
    def of(cls, name: str, values: np.ndarray) -> Column:
        """The column that values `(batch, …)` make up."""
        dtype = "string" if values.dtype == object else values.dtype.name
        return cls(name=name, shape=values.shape[1:], dtype=dtype)

    def __str__(self) -> str:
        return f"{self.name} {self.shape} {self.dtype}"

    @property
    def _stored(self) -> tf.DType:
        if self.dtype == "string":
            return tf.string
        return tf.float32 if "float" in self.dtype else tf.int64

    def spec(self) -> tf.io.FixedLenFeature:
        """How to parse the column."""
        return tf.io.FixedLenFeature(self.shape, self._stored)

    def restored(self, parsed: Any) -> Any:
        """Parsed values `(batch, …)` in the column's own dtype."""
        return parsed if self._stored.name == self.dtype else tf.cast(parsed, self.dtype)

    def encode(self, values: np.ndarray) -> list[tf.train.Feature]:
        """Values `(batch, …)` as one feature a row."""
        rows = values.reshape(len(values), -1)
        if self.dtype == "string":
            return [
                tf.train.Feature(bytes_list=tf.train.BytesList(value=row.tolist())) for row in rows
            ]
        if self._stored == tf.int64:
            whole = rows.astype(np.int64)  # of flags and of uint64, which wraps and is unwrapped
            return [tf.train.Feature(int64_list=tf.train.Int64List(value=row)) for row in whole]
        floats = np.ascontiguousarray(rows, dtype="<f4")
        head = b"\x0a" + _varint(floats.shape[1] * 4)
        # A packed field is the bytes as they lie in memory: ten times faster than number by number
        # (protobuf's encoding guide, "Packed Repeated Fields").
        return [
            tf.train.Feature(float_list=tf.train.FloatList.FromString(head + row.tobytes()))
            for row in floats
        ]


def _varint(number: int) -> bytes:
    """A whole number in protobuf's encoding of base 128."""
    groups = []
    while number > 0x7F:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*groups, number])


class Contents(Part):
    """The contents page of embedded rows: what made them, their columns and their number.

    `rejected` has, by split, the places among the rows given, from 0, of those that could not be
    embedded and are left out.
    """

    plan: EmbeddingPlan
    columns: tuple[Column, ...]
    rows: dict[str, int]
    rejected: dict[str, tuple[int, ...]] = {}

    @property
    def bytes_per_row(self) -> int:
        """How much memory the numbers of a row take; text is not counted."""
        sizes = (np.dtype(column._stored.as_numpy_dtype).itemsize for column in self.columns)
        lengths = (int(np.prod(column.shape)) for column in self.columns)
        return sum(size * length for size, length in zip(sizes, lengths, strict=True))


def read_contents(folder: str) -> Contents:
    """The contents page in a folder of embedded rows. Raises RunError where there is none."""
    path = f"{folder}/{CONTENTS_FILE}"
    try:
        with tf.io.gfile.GFile(path) as stream:
            return Contents.model_validate_json(stream.read())
    except (tf.errors.OpError, ValueError) as error:
        raise RunError(
            f"{path}: expected the contents of embedded rows, found none that can be read "
            f"({first_line(error)}): delete the folder of the runs to embed again"
        ) from error


def parse(columns: Mapping[str, Column], serialized: Any) -> dict[str, Any]:
    """Serialized rows `(batch,)` to `{column: (batch, …)}`; other columns are ignored."""
    spec = {name: column.spec() for name, column in columns.items()}
    parsed = tf.io.parse_example(serialized, spec)
    return {name: column.restored(parsed[name]) for name, column in columns.items()}


def write_rows(
    batches: Iterable[Mapping[str, np.ndarray]], path: str
) -> tuple[int, tuple[Column, ...]]:
    """Writes batches `{column: (batch, …)}` as a file of tf.Examples, a row each.

    The file is written aside and renamed, so that a worker that dies leaves no short one. Returns
    the number of rows, and the columns; there are none in a file without rows.
    """
    columns: tuple[Column, ...] = ()
    rows = 0
    with tf.io.TFRecordWriter(temporary_file(path)) as writer:
        for batch in batches:
            found = tuple(Column.of(name, values) for name, values in batch.items())
            check_same(columns or found, found)
            columns = found
            encoded = [column.encode(batch[column.name]) for column in columns]
            for features in zip(*encoded, strict=True):
                example = tf.train.Example()
                for column, feature in zip(columns, features, strict=True):
                    example.features.feature[column.name].CopyFrom(feature)
                writer.write(example.SerializeToString(deterministic=True))
                rows += 1
    finish(path)
    return rows, columns


def check_same(wanted: tuple[Column, ...], found: tuple[Column, ...]) -> None:
    """Raises RunError where columns differ in shape or dtype from one batch to another."""
    for one, other in zip(wanted, found, strict=True):
        if one != other:
            raise RunError(
                f"an embedding must have one shape in all rows, found {one} and {other}: write "
                "training.embed_once: false to train on raw data"
            )
