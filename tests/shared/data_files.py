"""Data files of tests, and all their rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.data.data_file import BadRow, read, shards
from tfx_fusion.modules.errors import RunError

Value = int | float | str | bytes | list


def rows_of(path: Path) -> list[tuple[str, Any]]:
    """All rows of all shards; a row that cannot be read is shown as its reason."""
    return [
        (row_id, row.reason if isinstance(row, BadRow) else row)
        for shard in shards(path)
        for row_id, row in read(shard)
    ]


def values_of(path: Path) -> list[Any]:
    return [row for _, row in rows_of(path)]


def refusal(path: Path) -> str:
    with pytest.raises(RunError) as caught:
        rows_of(path)
    return str(caught.value)


def write_tfrecords(path: Path, rows: list[dict[str, Value]], compression: str = "") -> None:
    import tensorflow as tf

    def feature(value: Value) -> tf.train.Feature:
        values = value if isinstance(value, list) else [value]
        if all(isinstance(item, int) for item in values):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        if all(isinstance(item, float) for item in values):
            return tf.train.Feature(float_list=tf.train.FloatList(value=values))
        encoded = [item.encode() if isinstance(item, str) else item for item in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))

    with tf.io.TFRecordWriter(str(path), compression) as writer:
        for row in rows:
            features = {name: feature(value) for name, value in row.items()}
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())
