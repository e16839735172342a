"""Eval rows whose media stand in a row to train on as well, byte for byte."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import tensorflow as tf

from tfx_fusion.modules.data import manifest
from tfx_fusion.modules.data.files import example_files
from tfx_fusion.modules.data.rows import is_file_of_numbers
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import ImageFeature, SequenceFeature, missing_name

# How far to look for a row that has a sequence which may be missing.
LOOKED_AT = 1000


@dataclass
class Leakage:
    """How many eval rows there are, and those that leak: (row, feature, row to train on)."""

    rows: int = 0
    leaked: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def share(self) -> float:
        return len(self.leaked) / self.rows if self.rows else 0.0


def media_features(source: RowSource) -> list[str]:
    """Pictures, and sequences whose first value in the data is a file: not a list in the row."""
    return [
        name
        for name, part in source.features.items()
        if isinstance(part, ImageFeature)
        or (isinstance(part, SequenceFeature) and _from_files(source, part))
    ]


def _from_files(source: RowSource, part: SequenceFeature) -> bool:
    rows = (row for shard in manifest.shards(source.data.path) for _, row in manifest.read(shard))
    for row in islice(rows, LOOKED_AT):
        if not isinstance(row, manifest.BadRow) and row.get(part.column) not in (None, "", b""):
            return is_file_of_numbers(row[part.column])
    return False


def leakage(media: Sequence[str], splits: Mapping[str, str]) -> Leakage:
    """Compares the digests of media, feature by feature; an eval row counts once.

    Of the eval split nothing but digests and ids is kept, of the rows to train on nothing at all.

    Args:
        media: the features to compare.
        splits: the folder of tf.Examples of `train` and `eval`.
    """
    found = Leakage()
    holders: dict[tuple[str, bytes], list[tuple[int, str]]] = {}
    for row, digests in _digests(media, splits["eval"]):
        for key in digests:
            holders.setdefault(key, []).append((found.rows, row))
        found.rows += 1
    leaked: dict[int, tuple[str, str, str]] = {}
    for trained, digests in _digests(media, splits["train"]):
        for key in digests:
            for number, row in holders.get(key, ()):
                leaked.setdefault(number, (row, key[0], trained))
    found.leaked = [leak for _, leak in sorted(leaked.items())]
    return found


def _digests(media: Sequence[str], folder: str) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The id of each row of a split, and the digest of each of its media that it has."""
    for record in tf.data.TFRecordDataset(example_files(folder)).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        digests = [
            (name, _digest(feature[name]))
            for name in media
            if feature[missing_name(name)].int64_list.value[:1] != [1]
        ]
        yield feature["row_id"].bytes_list.value[0].decode(), digests


def _digest(feature: tf.train.Feature) -> bytes:
    held = feature.bytes_list.value
    content = held[0] if held else feature.SerializeToString(deterministic=True)
    return hashlib.blake2b(content, digest_size=16).digest()
