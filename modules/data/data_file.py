"""Reading a data file in shards: each can be read by itself, in any process, in the file's order.

Shards are found in one pass that holds no rows: by byte offset in CSV and JSONL, by row group
in Parquet, by file for TFRecords. So memory does not grow with the number of rows.

The readers of Parquet and TFRecords are imported where they are needed: a check of a CSV file's
header must not wait for them.
"""

from __future__ import annotations

import csv
import glob
import json
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import data_file_format

# Enough shards to keep every worker busy, and small enough that one never takes long.
MIN_ROWS, MAX_ROWS, TARGET_SHARDS = 64, 1024, 16


class BadRow:
    """Takes the place of a row that cannot be read, with the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


Row = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """Some rows of a data file. `start` is a byte offset (CSV, JSONL) or a row group (Parquet)."""

    path: str
    start: int
    first_row: int
    rows: int


# A cell may hold a sequence; the csv module's own limit is 131,072 characters.
csv.field_size_limit(sys.maxsize)


def _decode(line: bytes) -> str:
    # Broken bytes survive as surrogates, so that the row and column can be named later.
    return line.decode("utf-8", errors="surrogateescape")


def _skip_byte_order_mark(stream: BinaryIO) -> BinaryIO:
    if stream.read(len(BOM_UTF8)) != BOM_UTF8:
        stream.seek(0)
    return stream


def _records(lines: Iterator[str]) -> Iterator[list[str] | csv.Error]:
    """The records of CSV lines, with an error in place of one that is broken."""
    reader = csv.reader(lines, strict=True)
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield error


def columns(path: Path) -> list[str] | None:
    """The names of the columns; None where each row names its own (JSONL, TFRecords).

    Raises RunError where the file is missing, empty or not of the format that its name says.
    """
    kind = data_file_format(path)
    if kind == "tfrecord":
        tfrecord_files(path)
        return None
    if not path.is_file():
        raise RunError(f"{path}: no such data file")
    if path.stat().st_size == 0:
        raise RunError(f"{path}: the data set is empty: expected rows, found an empty file")
    if kind == "csv":
        with path.open("rb") as stream:
            names = _header(path, stream)
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise RunError(f"{path}: the header names the column '{twice[0]}' twice")
        return names
    if kind == "parquet":
        import pyarrow.parquet as pq

        try:
            return pq.read_schema(path).names
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: expected a Parquet file: {error}") from error
    return None


def _header(path: Path, stream: BinaryIO) -> list[str]:
    names = next(_records(_decode(line) for line in _skip_byte_order_mark(stream)), None)
    if not names or isinstance(names, csv.Error):
        cause = f", found broken CSV: {names}" if names else ""
        raise RunError(f"{path}: expected a header line with the names of the columns{cause}")
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise RunError(f"{path}: expected UTF-8 text, found other bytes in the header") from None
    return names


def tfrecord_files(path: Path) -> list[Path]:
    """The files that a path or pattern names, in order. Raises RunError where there are none."""
    files = sorted(file for file in map(Path, glob.glob(str(path))) if file.is_file())
    if not files:
        raise RunError(f"{path}: no such data file")
    return files


def shards(path: Path) -> list[Shard]:
    """All shards of a data file in its order. Raises RunError where there is no row."""
    kind = data_file_format(path)
    columns(path)
    if kind == "tfrecord":
        return [Shard(str(file), 0, 0, -1) for file in tfrecord_files(path)]
    if kind == "parquet":
        found = _row_groups(path)
    else:
        found = _offsets(path, _csv_starts(path) if kind == "csv" else _line_starts(path))
    if not found:
        raise RunError(f"{path}: the data set is empty: expected rows, found none")
    return found


def _offsets(path: Path, starts: list[int]) -> list[Shard]:
    size = min(max(len(starts) // TARGET_SHARDS, MIN_ROWS), MAX_ROWS)
    return [
        Shard(str(path), starts[first], first + 1, min(size, len(starts) - first))
        for first in range(0, len(starts), size)
    ]


def _row_groups(path: Path) -> list[Shard]:
    import pyarrow.parquet as pq

    found, first = [], 1
    metadata = pq.read_metadata(path)
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if rows:
            found.append(Shard(str(path), group, first, rows))
        first += rows
    return found


def _csv_starts(path: Path) -> list[int]:
    """The byte offset of each record; a quoted field may hold line breaks."""
    starts = []
    with path.open("rb") as stream:
        consumed = _skip_byte_order_mark(stream).tell()

        def lines() -> Iterator[str]:
            nonlocal consumed
            for line in stream:
                consumed += len(line)
                yield _decode(line)

        records = _records(lines())
        next(records)
        start = consumed
        for record in records:
            if record:
                starts.append(start)
            if isinstance(record, csv.Error) and "unexpected end" in str(record):
                raise RunError(f"{path}: row {len(starts)}: a quote that opens there never closes")
            start = consumed
    return starts


def _line_starts(path: Path) -> list[int]:
    starts = []
    with path.open("rb") as stream:
        start = _skip_byte_order_mark(stream).tell()
        for line in stream:
            if line.strip():
                starts.append(start)
            start += len(line)
    return starts


def read(shard: Shard) -> Iterator[tuple[str, Row | BadRow]]:
    """The rows of a shard as `(row id, row)`; the id is what messages name, as `row 17`."""
    path = Path(shard.path)
    kind = data_file_format(path)
    if kind == "tfrecord":
        yield from _read_tfrecord(path)
        return
    rows: Iterator[Row | BadRow]
    if kind == "parquet":
        rows = _read_parquet(path, shard)
    elif kind == "csv":
        rows = _read_csv(path, shard)
    else:
        rows = _read_jsonl(path, shard)
    for number, row in enumerate(rows, start=shard.first_row):
        yield f"row {number}", row


def _read_csv(path: Path, shard: Shard) -> Iterator[Row | BadRow]:
    with path.open("rb") as stream:
        names = _header(path, stream)
        stream.seek(shard.start)
        read = 0
        for record in _records(_decode(line) for line in stream):
            if not record:
                continue
            if isinstance(record, csv.Error):
                yield BadRow(f"expected a row of CSV, found broken CSV: {record}")
            elif len(record) != len(names):
                yield BadRow(f"expected {len(names)} cells as in the header, found {len(record)}")
            else:
                yield dict(zip(names, record, strict=True))
            read += 1
            if read == shard.rows:
                return


def _read_jsonl(path: Path, shard: Shard) -> Iterator[Row | BadRow]:
    with path.open("rb") as stream:
        stream.seek(shard.start)
        read = 0
        for line in stream:
            if not line.strip():
                continue
            try:
                row = json.loads(_decode(line))
                yield row if isinstance(row, dict) else BadRow("expected a JSON object")
            except (ValueError, RecursionError) as error:
                yield BadRow(f"expected a JSON object, found broken JSON: {error}")
            read += 1
            if read == shard.rows:
                return


def _read_parquet(path: Path, shard: Shard) -> Iterator[Row]:
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=MIN_ROWS, row_groups=[shard.start]):
                yield from batch.to_pylist()
    except OSError as error:
        raise RunError(f"{path}: damaged in row group {shard.start + 1}: {error}") from error


def _read_tfrecord(path: Path) -> Iterator[tuple[str, Row | BadRow]]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    compression = "GZIP" if path.suffix == ".gz" else ""
    records = tf.data.TFRecordDataset(str(path), compression_type=compression)
    number = 0
    try:
        for number, record in enumerate(records.as_numpy_iterator(), start=1):
            row: Row = {}
            try:
                example = tf.train.Example.FromString(record)
            except DecodeError:
                yield f"{path.name} record {number}", BadRow("expected a tf.Example")
                continue
            for name, feature in example.features.feature.items():
                kind = feature.WhichOneof("kind")
                values = list(getattr(feature, kind).value) if kind else []
                row[name] = values[0] if len(values) == 1 else values or None
            yield f"{path.name} record {number}", row
    except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
        cause = error.message.splitlines()[0].split("}} ")[-1].split(" [Op:")[0]
        raise RunError(f"{path}: damaged after record {number}: {cause}") from error
