"""Records of TFRecord files by their number, so that rows can be read in any order.

A TFRecord file has no index. One pass over the lengths in it finds where each record begins; the
records themselves are skipped. The format, from TensorFlow's `lib/io/record_writer.h`: a length
of 8 bytes, its checksum of 4, the record, its checksum of 4. Files of this project are plain; those
of TFX's own components are compressed as a whole, which only their name says (`.gz`).
"""

import gzip
import os
import shutil
import struct
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO

import google_crc32c
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.errors import RunError

HEADER = struct.Struct("<QI")
CHECKSUM = struct.Struct("<I")
GZIP = b"\x1f\x8b"  # how a file compressed with gzip begins
READ_AT_ONCE = 1 << 20  # bytes; headers of small records come many in one read


class Records:
    """The records of several files as one sequence, in the order of the files.

    Memory: 12 bytes a record. Files stay open, one descriptor each, until the object is gone. Of
    a compressed one it is a plain copy in the folder of temporary files, which has no name there
    and is gone with the process at the latest.
    """

    def __init__(self, files: Sequence[str]) -> None:
        """Finds where each record begins.

        Raises RunError, with the file and the record, where a file is cut short or damaged.
        """
        self._paths = [Path(file) for file in files]
        self._files = [_opened(path) for path in self._paths]
        found = [
            _starts(stream.fileno(), path)
            for stream, path in zip(self._files, self._paths, strict=True)
        ]
        self._starts = np.concatenate(found or [np.empty(0, np.int64)])
        counts = [len(starts) for starts in found]
        self._file_of = np.repeat(np.arange(len(found), dtype=np.int32), counts)
        self._first = np.cumsum([0, *counts])

    def __len__(self) -> int:
        return len(self._starts)

    def read(self, numbers: Any) -> Any:
        """The records `(batch,)` of bytes that stand at some places `(batch,)`, counted from 0.

        For the inside of a `tf.data` pipeline: takes and gives tensors.
        """
        records = tf.numpy_function(self._read, [numbers], tf.string, stateful=False)
        records.set_shape(numbers.shape)
        return records

    def _read(self, numbers: np.ndarray) -> np.ndarray:
        return np.array([self._record(int(number)) for number in numbers], object)

    def _record(self, number: int) -> bytes:
        place = int(self._file_of[number])
        stream, start = self._files[place], int(self._starts[number])
        length, _ = HEADER.unpack(os.pread(stream.fileno(), HEADER.size, start))
        data = os.pread(stream.fileno(), length + CHECKSUM.size, start + HEADER.size)
        record = data[:length]
        if CHECKSUM.unpack(data[length:])[0] != _masked_checksum(record):
            raise _damaged(self._paths[place], number - int(self._first[place]))
        return record

    def name(self, number: int) -> str:
        """What messages call a record that has no name of its own."""
        place = int(self._file_of[number])
        return record_name(self._paths[place], number - int(self._first[place]))


def record_name(path: str | Path, place: int) -> str:
    """What messages call a record without a name: its place in its file, counted from 0."""
    return f"record {place} of {'/'.join(str(path).rsplit('/', 2)[-2:])}"


def record_dataset(files: Sequence[str]) -> tf.data.Dataset:
    """The records of files, plain or compressed (`.gz`), one after the other."""
    parts = [
        tf.data.TFRecordDataset(list(alike), "GZIP" if compressed else None)
        for compressed, alike in groupby(files, is_compressed)
    ]
    return reduce(tf.data.Dataset.concatenate, parts or [tf.data.TFRecordDataset([])])


def is_compressed(file: str) -> bool:
    """Whether a record file is compressed with gzip, by its name, as TFX names them."""
    return file.endswith(".gz")


def _opened(path: Path) -> BinaryIO:
    """A record file, opened to be read at any place."""
    if not is_compressed(path.name):
        return path.open("rb")
    plain = tempfile.TemporaryFile()  # noqa: SIM115 read until the end
    try:
        with gzip.open(path) as packed:
            shutil.copyfileobj(packed, plain, READ_AT_ONCE)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RunError(f"{path}: the compressed file is cut short or damaged: {error}") from None
    plain.flush()  # it is read by its descriptor
    return plain


def count_records(path: Path) -> int:
    """How many records a file holds. Raises RunError where it is cut short or damaged."""
    with path.open("rb") as stream:
        return len(_starts(stream.fileno(), path))


def _starts(descriptor: int, path: Path) -> np.ndarray:
    """Where each record of a file begins `(records,)` int64."""
    size = os.fstat(descriptor).st_size
    starts = array("q")  # a list would take four times the memory
    position, block, begin = 0, b"", 0
    while position < size:
        if position + HEADER.size > begin + len(block):
            begin, block = position, os.pread(descriptor, READ_AT_ONCE, position)
        header = block[position - begin : position - begin + HEADER.size]
        if len(header) < HEADER.size:
            raise _damaged(path, len(starts))
        length, checksum = HEADER.unpack(header)
        following = position + HEADER.size + length + CHECKSUM.size
        if not starts and block.startswith(GZIP) and checksum != _masked_checksum(header[:8]):
            raise RunError(
                f"{path}: expected plain records, found a file compressed with gzip: its name must "
                "end in .gz"
            )
        if checksum != _masked_checksum(header[:8]) or following > size:
            raise _damaged(path, len(starts))
        starts.append(position)
        position = following
    return np.frombuffer(starts, np.int64) if starts else np.empty(0, np.int64)


def framed(stream: BinaryIO) -> Iterator[bytes]:
    """The records of a stream that can only be read on. Raises ValueError for a damaged one."""
    while header := stream.read(HEADER.size):
        if len(header) < HEADER.size:
            raise ValueError("a record is cut short")
        length, checksum = HEADER.unpack(header)
        if checksum != _masked_checksum(header[:8]):
            hint = ": the file is compressed with gzip, name it .tfrecord.gz"
            raise ValueError(f"no record is there{hint if header.startswith(GZIP) else ''}")
        record, tail = stream.read(length), stream.read(CHECKSUM.size)
        if len(record) < length or len(tail) < CHECKSUM.size:
            raise ValueError("a record is cut short")
        if CHECKSUM.unpack(tail)[0] != _masked_checksum(record):
            raise ValueError("the checksum of a record is wrong")
        yield record


def _masked_checksum(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TensorFlow stores it (`core/lib/hash/crc32c.h`)."""
    checksum = google_crc32c.value(data)
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & 0xFFFFFFFF


def _damaged(path: Path, number: int) -> RunError:
    return RunError(
        f"{path}: record {number} is cut short or damaged: delete the folder of the runs, so that "
        "the next run writes it again"
    )
