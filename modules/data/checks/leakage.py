"""Eval rows whose media are in a training row too, byte for byte."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence

import tensorflow as tf
from pydantic import BaseModel

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import ImageFeature, SequenceFeature, missing_name


class Leakage(BaseModel):
    """How many eval rows there are, and those that leak: (row, feature, training row)."""

    rows: int = 0
    leaked: list[tuple[str, str, str]] = []

    @property
    def share(self) -> float:
        return len(self.leaked) / self.rows if self.rows else 0.0


def media_features(source: RowSource, columns: Collection[str]) -> list[str]:
    """Images, and sequences that the data gave as files rather than as lists in the row.

    `columns` are those of the data that named files.
    """
    return [
        name
        for name, part in source.features.items()
        if isinstance(part, ImageFeature)
        or (isinstance(part, SequenceFeature) and part.column in columns)
    ]


def leakage(media: Sequence[str], splits: Mapping[str, str]) -> Leakage:
    """Compares the digests of media, feature by feature; an eval row counts once.

    Only digests and ids of the eval split are held in memory, and nothing of the training rows.

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
