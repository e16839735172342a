"""A digest of the data that a run would read, so that a changed file is noticed.

TFX's cache compares parameters and input artifacts; the content of a file that a custom component
reads is neither. So the digest is given to the component as a parameter, and the component compares
it with the digest of what it has read.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.spec import Feature, data_file_format, media_columns

NO_FILE = "?"


def fingerprint(path: Path, features: Mapping[str, Feature]) -> str:
    """Digest of the data file's content, and of the size and times of change of each media file.

    Raises RunError where the data file is missing or empty.
    """
    columns = media_paths(path, features)
    digests = []
    for shard in data_file.shards(path):
        digest = ShardDigest()
        if columns:
            for _, row in data_file.read(shard, digest):
                digest.add_media(media_states(path.parent, row, columns))
        else:
            data_file.digest_bytes(shard, digest)
        digests.append(digest.hexdigest())
    return combined(digests)


def media_paths(path: Path, features: Mapping[str, Feature]) -> list[str]:
    """The columns of a data file that may hold paths of media; records hold media themselves."""
    return [] if data_file_format(path) == "tfrecord" else media_columns(features)


class ShardDigest:
    """Digest of a shard as it is read: its bytes, and the states of the media of its rows."""

    def __init__(self) -> None:
        self._bytes, self._media = hashlib.sha256(), hashlib.sha256()

    def update(self, data: bytes, /) -> None:
        """Adds bytes of the data file."""
        self._bytes.update(data)

    def add_media(self, states: Mapping[str, str]) -> None:
        """Adds the states of a row's media."""
        for state in states.values():
            self._media.update(f"{state}\n".encode("utf-8", "surrogateescape"))

    def hexdigest(self) -> str:
        """The digest of all that was added."""
        return hashlib.sha256(self._bytes.digest() + self._media.digest()).hexdigest()


def combined(digests: Iterable[str]) -> str:
    """The fingerprint of data whose shards, in their order, have some digests."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def media_states(
    folder: Path, row: data_file.Row | data_file.BadRow, columns: Iterable[str]
) -> dict[str, str]:
    """Path, size and times of change of each media file that a row names, by column.

    A file that is missing has a state too; a cell that is no path has none.
    """
    states = {}
    for column in columns:
        value = row.get(column) if isinstance(row, dict) else None
        if isinstance(value, str):
            states[column] = NO_FILE
            with suppress(OSError, ValueError):  # an inline sequence, or a missing file
                # A Path would take twice as long, and this is done twice for every row.
                found = os.stat(os.path.join(folder, value))  # noqa: PTH116, PTH118
                if S_ISREG(found.st_mode):  # an empty cell would name the folder
                    states[column] = file_state(value, found)
    return states


def file_state(name: str, found: os.stat_result) -> str:
    """The state of a media file, by which a changed one is noticed.

    The time of its content can be set, and an archive or a copy sets it: another picture may have
    the same. That of its entry cannot.
    """
    return f"{name} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"
