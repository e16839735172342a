"""A digest of the data that a run would read, so that a changed file is noticed.

TFX's cache compares parameters and input artifacts; the content of a file that a custom component
reads is neither. So the digest is given to the component as a parameter.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.spec import Feature, data_file_format, media_columns


def fingerprint(path: Path, features: dict[str, Feature]) -> str:
    """Digest of the data file's content, and of the size and time of change of each media file.

    Raises RunError where the data file is missing.
    """
    data_file.columns(path)
    files = [path] if data_file_format(path) != "tfrecord" else data_file.tfrecord_files(path)
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    media = media_columns(features)
    if media and data_file_format(path) != "tfrecord":
        for shard in data_file.shards(path):
            for _, row in data_file.read(shard):
                for column in media:
                    digest.update(_state(path.parent, row, column))
    return digest.hexdigest()


def _state(folder: Path, row: data_file.Row | data_file.BadRow, column: str) -> bytes:
    value = row.get(column) if isinstance(row, dict) else None
    if not isinstance(value, str):
        return b""
    try:
        state = Path(folder, value).stat()
    except (
        OSError,
        ValueError,
    ):  # an inline sequence, or a missing file: its row reports it
        return b"?"
    return f"{value} {state.st_size} {state.st_mtime_ns}".encode("utf-8", "surrogateescape")
