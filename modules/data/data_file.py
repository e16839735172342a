"""Reading a data file in shards: each can be read by itself, in any process, in the file's order.

Shards are found in one pass that holds no rows: by byte offset in CSV and JSONL, by row group
in Parquet, by file for TFRecords. So memory does not grow with the number of rows.

The readers of Parquet and TFRecords are imported where they are needed: a check of a CSV file's
header must not wait for them.
"""

import csv
import glob
import gzip
import json
import os
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Iterator
from dataclasses import dataclass
from io import SEEK_END, SEEK_SET, BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import data_file_format

# Enough shards to keep every worker busy, and small enough that one never takes long.
MIN_ROWS, MAX_ROWS, TARGET_SHARDS = 64, 1024, 16
READ_AT_ONCE = 1 << 20  # bytes


class BadRow:
    """Takes the place of a row that cannot be read, with the reason."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


Row = dict[str, Any]


@dataclass(frozen=True)
class Shard:
    """Some rows of a data file. `start` is a byte offset (CSV, JSONL) or a row group (Parquet).

    `end` is the offset behind the last byte (CSV, JSONL); None is the end of the file, wherever
    that is when the shard is read.
    """

    path: str
    start: int
    first_row: int
    rows: int
    end: int | None = None


class Digest(Protocol):
    """What takes the bytes that are read: a hash of `hashlib`."""

    def update(self, data: bytes, /) -> None:
        """Adds bytes."""


class _NoDigest:
    def update(self, data: bytes, /) -> None:
        """Nobody asks for a digest."""


_NO_DIGEST = _NoDigest()


# A cell may hold a sequence; the csv module's own limit is 131,072 characters.
csv.field_size_limit(sys.maxsize)


def _decode(line: bytes) -> str:
    # Broken bytes survive as surrogates, so that the row and column can be named later.
    return line.decode("utf-8", errors="surrogateescape")


def _lines(
    stream: BinaryIO, end: int | None = None, digest: Digest = _NO_DIGEST
) -> Iterator[bytes]:
    """The lines from where a stream is to a byte offset, or to the end of the file.

    A byte order mark at the start of the file is left out. All bytes read go into `digest`.
    """
    place = stream.tell()
    while end is None or place < end:
        line = stream.readline()
        if not line:
            return
        digest.update(line)
        yield line.removeprefix(BOM_UTF8) if place == 0 else line
        place += len(line)


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
            names = _header(path, _lines(stream))
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


def _header(path: Path, lines: Iterator[bytes]) -> list[str]:
    names = next(_records(map(_decode, lines)), None)
    if not names or isinstance(names, csv.Error):
        cause = f", found broken CSV: {names}" if names else ""
        raise RunError(f"{path}: expected a header line with the names of the columns{cause}")
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        raise RunError(f"{path}: expected UTF-8 text, found other bytes in the header") from None
    return names


def tfrecord_files(path: Path) -> list[Path]:
    """The files that a path or pattern names, in order. Raises RunError where there are none.

    What exists under its very name is no pattern: a folder may be called `[2024]`.
    """
    there = path
    while not there.exists():
        there = there.parent
    rest = str(path.relative_to(there))
    found = [path] if there == path else [there / name for name in glob.glob(rest, root_dir=there)]
    files = sorted(file for file in found if file.is_file())
    if not files:
        raise RunError(f"{path}: no such data file")
    return files


def shards(path: Path) -> list[Shard]:
    """All shards of a data file in its order. Raises RunError where there is no row."""
    kind = data_file_format(path)
    columns(path)
    if kind == "tfrecord":
        return [Shard(str(file), 0, 0, -1) for file in tfrecord_files(path)]
    starts = _csv_starts if kind == "csv" else _line_starts
    found = _row_groups(path) if kind == "parquet" else _offsets(path, starts(path))
    if not found:
        raise RunError(f"{path}: the data set is empty: expected rows, found none")
    return found


def _offsets(path: Path, starts: list[int]) -> list[Shard]:
    size = min(max(len(starts) // TARGET_SHARDS, MIN_ROWS), MAX_ROWS)
    ends: list[int | None] = [*starts[size::size], None]
    return [
        Shard(str(path), starts[first], first + 1, min(size, len(starts) - first), end)
        for first, end in zip(range(0, len(starts), size), ends, strict=False)
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
        consumed = 0

        def lines() -> Iterator[str]:
            nonlocal consumed
            for line in _lines(stream):
                consumed = stream.tell()
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
        start = 0
        for line in _lines(stream):
            if line.strip():
                starts.append(start)
            start = stream.tell()
    return starts


def read(shard: Shard, digest: Digest = _NO_DIGEST) -> Iterator[tuple[str, Row | BadRow]]:
    """The rows of a shard as `(row id, row)`; the id is what messages name, as `row 17`.

    The very bytes that the rows are read from go into `digest`, in the order of `digest_bytes`: so
    a file that is changed meanwhile and put back is noticed.
    """
    path = Path(shard.path)
    kind = data_file_format(path)
    if kind == "tfrecord":
        yield from _read_tfrecord(path, digest)
        return
    rows: Iterator[Row | BadRow]
    if kind == "parquet":
        rows = _read_parquet(path, shard, digest)
    elif kind == "csv":
        rows = _read_csv(path, shard, digest)
    else:
        rows = _read_jsonl(path, shard, digest)
    for number, row in enumerate(rows, start=shard.first_row):
        yield f"row {number}", row


def digest_bytes(shard: Shard, digest: Digest) -> None:
    """Adds to a digest what reading all rows of a shard would add, without parsing them."""
    path = Path(shard.path)
    kind = data_file_format(path)
    with path.open("rb") as stream:
        if kind == "tfrecord":
            hashed = _HashedFile(path, stream, digest)
            while hashed.read(READ_AT_ONCE):
                pass
        elif kind == "parquet":
            _row_group(stream, shard.start, digest)
        else:
            if kind == "csv":
                _header(path, _lines(stream, digest=digest))
            stream.seek(shard.start)
            for _ in _lines(stream, shard.end, digest):
                pass


def _read_csv(path: Path, shard: Shard, digest: Digest) -> Iterator[Row | BadRow]:
    with path.open("rb") as stream:
        names = _header(path, _lines(stream, digest=digest))
        stream.seek(shard.start)
        for record in _records(map(_decode, _lines(stream, shard.end, digest))):
            if not record:
                continue
            if isinstance(record, csv.Error):
                yield BadRow(f"expected a row of CSV, found broken CSV: {record}")
            elif len(record) != len(names):
                yield BadRow(f"expected {len(names)} cells as in the header, found {len(record)}")
            else:
                yield dict(zip(names, record, strict=True))


def _read_jsonl(path: Path, shard: Shard, digest: Digest) -> Iterator[Row | BadRow]:
    with path.open("rb") as stream:
        stream.seek(shard.start)
        for line in _lines(stream, shard.end, digest):
            if not line.strip():
                continue
            try:
                row = json.loads(_decode(line))
                yield row if isinstance(row, dict) else BadRow("expected a JSON object")
            except (ValueError, RecursionError) as error:
                yield BadRow(f"expected a JSON object, found broken JSON: {error}")


def _read_parquet(path: Path, shard: Shard, digest: Digest) -> Iterator[Row]:
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as stream:
            metadata, content = _row_group(stream, shard.start, digest)
        with pq.ParquetFile(content, metadata=metadata) as file:
            for batch in file.iter_batches(batch_size=MIN_ROWS, row_groups=[shard.start]):
                yield from batch.to_pylist()
    except (OSError, ValueError, IndexError) as error:
        raise RunError(f"{path}: damaged in row group {shard.start + 1}: {error}") from error


class _FilePart(BytesIO):
    """Some bytes of a file, found by their offsets in the file."""

    def __init__(self, content: bytes, start: int) -> None:
        super().__init__(content)
        self._start = start

    def seek(self, offset: int, whence: int = SEEK_SET, /) -> int:
        inside = offset - self._start if whence == SEEK_SET else offset
        return super().seek(inside, whence) + self._start

    def tell(self) -> int:
        return super().tell() + self._start


def _row_group(stream: BinaryIO, group: int, digest: Digest) -> tuple[Any, _FilePart]:
    """The metadata of a Parquet file, and the bytes of one row group, each read once."""
    import pyarrow.parquet as pq

    size = stream.seek(0, SEEK_END)
    stream.seek(max(size - 8, 0))
    length = int.from_bytes(stream.read(4), "little")  # of the metadata, which ends the file
    stream.seek(max(size - 8 - length, 0))
    footer = stream.read()
    metadata = pq.read_metadata(BytesIO(b"PAR1" + footer))
    chunks = [metadata.row_group(group).column(i) for i in range(metadata.num_columns)]
    starts = [
        chunk.dictionary_page_offset if chunk.has_dictionary_page else chunk.data_page_offset
        for chunk in chunks
    ]
    ends = [
        start + chunk.total_compressed_size for start, chunk in zip(starts, chunks, strict=True)
    ]
    stream.seek(min(starts))
    content = stream.read(max(ends) - min(starts))
    for part in (footer, content):
        digest.update(part)
    return metadata, _FilePart(content, min(starts))


class _HashedFile:
    """A file whose name and bytes, as they are read, go into a digest."""

    def __init__(self, path: Path, stream: BinaryIO, digest: Digest) -> None:
        self._stream, self._digest = stream, digest
        digest.update(os.fsencode(path.name))  # a part of the ids of its rows

    def read(self, size: int = -1) -> bytes:
        """Some bytes, or all that follow."""
        found = self._stream.read(size)
        self._digest.update(found)
        return found


def _read_tfrecord(path: Path, digest: Digest) -> Iterator[tuple[str, Row | BadRow]]:
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    from tfx_fusion.modules.data.records import framed

    number = 0
    try:
        with path.open("rb") as stream:
            file: Any = _HashedFile(path, stream, digest)
            if path.suffix == ".gz":
                file = gzip.GzipFile(fileobj=file)
            for number, record in enumerate(framed(file), start=1):
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
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise RunError(f"{path}: damaged after record {number}: {error}") from error
