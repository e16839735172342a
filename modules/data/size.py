"""An estimate of the data's size, by which a run chooses how many processes read them."""

import gzip
import struct
import zlib
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import data_file_format, media_columns

SAMPLE = 64  # rows that represent all


@dataclass(frozen=True)
class DataSize:
    """The rows of a data set, and the bytes of its media."""

    rows: int
    media_bytes: int = 0


def data_size(source: RowSource) -> DataSize:
    """Counts the rows of a source, and estimates its media by those of the first rows.

    Raises RunError where the data file is missing, or there is no row.
    """
    path = source.data.path
    if data_file_format(path) == "tfrecord":
        return _of_records(data_file.tfrecord_files(path))
    shards = data_file.shards(path)
    media = media_columns(source.features)
    sizes = [
        sum(_file_size(path.parent, row, column) for column in media)
        for _, row in islice(data_file.read(shards[0]), SAMPLE)
    ]
    rows = sum(shard.rows for shard in shards)
    return DataSize(rows, rows * sum(sizes) // len(sizes))


def _file_size(folder: Path, row: data_file.Row | data_file.BadRow, column: str) -> int:
    value = row.get(column) if isinstance(row, dict) else None
    try:
        return Path(folder, value).stat().st_size if isinstance(value, str) else 0
    except (OSError, ValueError):  # an inline sequence, or a missing file
        return 0


def _of_records(files: list[Path]) -> DataSize:
    """Media are inside the records, so all bytes count as media.

    A compressed record counts with its uncompressed length, so the rows are underestimated.
    """
    total = sum(file.stat().st_size for file in files)
    lengths = _record_lengths(files[0])
    return DataSize(total * len(lengths) // sum(lengths) if lengths else 0, total)


def _record_lengths(file: Path) -> list[int]:
    """The bytes that the first records take: length, its checksum, the record and its checksum."""
    lengths: list[int] = []
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            while len(lengths) < SAMPLE and len(head := stream.read(12)) == 12:
                (length,) = struct.unpack_from("<Q", head)
                stream.seek(length + 4, 1)
                lengths.append(12 + length + 4)
    except (OSError, EOFError, OverflowError, zlib.error):  # damaged: reported when it is read
        return []
    return lengths
