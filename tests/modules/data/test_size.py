"""The estimated size of a data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from tfx_fusion.modules.data.size import DataSize, data_size
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import load_specification


@pytest.fixture
def source(write_specification: Callable[..., Path]) -> Callable[[str], RowSource]:
    """The rows of the small specification, in a data file of the given name."""

    def of(name: str) -> RowSource:
        return RowSource.of(load_specification(write_specification(("data/rows.csv", name))))

    return of


def test_rows_are_counted_and_media_are_judged_by_the_first(
    source: Callable[[str], RowSource], tmp_path: Path
) -> None:
    (tmp_path / "a.png").write_bytes(b"x" * 100)
    (tmp_path / "b.png").write_bytes(b"x" * 300)
    lines = ["id,image_path,transcript,colour"]
    lines += [f"{number},{'ab'[number % 2]}.png,red,red" for number in range(1000)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))

    assert data_size(source("rows.csv")) == DataSize(1000, 1000 * 200)


def test_rows_of_parquet_are_counted_and_a_missing_picture_has_no_bytes(
    source: Callable[[str], RowSource], tmp_path: Path
) -> None:
    pq.write_table(pa.table({"id": range(70), "image_path": ["no.png"] * 70,
                             "transcript": ["red"] * 70, "colour": ["red"] * 70}),
                   tmp_path / "rows.parquet")  # fmt: skip

    assert data_size(source("rows.parquet")) == DataSize(70, 0)


@pytest.mark.parametrize("compression", ["", "GZIP"])
def test_records_are_counted_by_the_length_of_the_first(
    source: Callable[[str], RowSource], tmp_path: Path, compression: str
) -> None:
    name = "rows.tfrecord.gz" if compression else "rows.tfrecord"
    for file in ("a", "b"):
        with tf.io.TFRecordWriter(str(tmp_path / f"{file}{name}"), compression) as writer:
            for _ in range(200):
                writer.write(tf.random.uniform([125], dtype=tf.float64).numpy().tobytes())

    found = data_size(source(f"'*{name}'"))

    # Random bytes hardly shrink: 200 records of 1,000 bytes in each of two files.
    assert found.rows == pytest.approx(400, rel=0.2)
    assert found.media_bytes == pytest.approx(400_000, rel=0.2)


def test_damaged_records_count_as_none_and_are_reported_when_they_are_read(
    source: Callable[[str], RowSource], tmp_path: Path
) -> None:
    (tmp_path / "rows.tfrecord.gz").write_bytes(b"no gzip at all, though long enough for a head")

    assert data_size(source("rows.tfrecord.gz")).rows == 0


def test_a_missing_file_is_refused(source: Callable[[str], RowSource]) -> None:
    with pytest.raises(RunError, match="no such data file"):
        data_size(source("rows.jsonl"))
