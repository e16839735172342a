"""Rows in data files of each format, and what writing their tf.Examples leaves."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from tfx_fusion.modules.data.write import RowCounts

# As in pipeline.pipeline, which would import all of TFX.
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
BY_HASH = {"by": "id", "train": 0.7, "eval": 0.3}
NUMBER = {"size": {"type": "number", "column": "size"}}
LABEL = {"colour": {"type": "category", "column": "colour", "classes": ["red", "green"]}}
Row = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What a run left in its folders."""

    counts: RowCounts
    folder: Path

    def examples(self, split: str) -> list[tf.train.Example]:
        files = sorted((self.folder / split).iterdir())
        records = tf.data.TFRecordDataset([str(file) for file in files])
        return [tf.train.Example.FromString(record.numpy()) for record in records]

    def row_ids(self, split: str) -> list[str]:
        return [
            example.features.feature["row_id"].bytes_list.value[0].decode()
            for example in self.examples(split)
        ]

    def rejected(self) -> list[list[str]]:
        with (self.folder / "rejected" / "rejected_rows.csv").open(newline="") as stream:
            return list(csv.reader(stream))


def rows(count: int) -> list[Row]:
    return [
        {"id": number, "size": number / 4, "colour": ("red", "green")[number % 2]}
        for number in range(count)
    ]


def write_csv(path: Path, given: Iterable[Row]) -> Path:
    given = list(given)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, given[0])
        writer.writeheader()
        writer.writerows(given)
    return path


def write_jsonl(path: Path, given: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def write_parquet(path: Path, given: Iterable[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(given)), path, row_group_size=100)
    return path


def write_tfrecord(path: Path, given: Iterable[Row]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in given:
            example = tf.train.Example()
            feature = example.features.feature
            feature["id"].int64_list.value.append(row["id"])
            feature["size"].float_list.value.append(row["size"])
            feature["colour"].bytes_list.value.append(row["colour"].encode())
            writer.write(example.SerializeToString())
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
