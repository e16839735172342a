"""Eval rows whose media are in a training row too, byte for byte."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import tensorflow as tf
from pydantic import BaseModel

from tfx_fusion.modules.data.file_list import Folders, example_files
from tfx_fusion.modules.data.records import record_dataset, record_name
from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.spec import Feature, ImageFeature, SequenceFeature, missing_name


class Leakage(BaseModel):
    """How many eval rows there are, and those that leak: (row, feature, training row)."""

    rows: int = 0
    leaked: list[tuple[str, str, str]] = []

    @property
    def share(self) -> float:
        return len(self.leaked) / self.rows if self.rows else 0.0


def media_features(features: Mapping[str, Feature], columns: Collection[str]) -> dict[str, str]:
    """Images, and sequences that the data gave as files rather than as lists in the row.

    `columns` are those of the data that named files. Returns the column of each.
    """
    return {
        name: part.column
        for name, part in features.items()
        if isinstance(part, ImageFeature)
        or (isinstance(part, SequenceFeature) and part.column in columns)
    }


def leakage(media: Mapping[str, str], splits: Mapping[str, Folders]) -> Leakage:
    """Compares the digests of media, feature by feature; an eval row counts once.

    Only digests and ids of the eval split are held in memory, and nothing of the training rows.

    Args:
        media: the features to compare, which tf.Examples hold by name, or by this column.
        splits: the folder of tf.Examples of `train` and `eval`, or those of several spans.

    Raises RunError where the rows have no such feature.
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


def _digests(
    media: Mapping[str, str], folders: Folders
) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """The id of each row of a split, and the digest of each of its media that it has."""
    seen: set[str] = set()
    row: Any = {}
    for file in example_files(folders):
        for place, record in enumerate(record_dataset([file]).as_numpy_iterator()):
            row = tf.train.Example.FromString(record).features.feature
            row_id = record_name(file, place)
            if "row_id" in row:
                row_id = row["row_id"].bytes_list.value[0].decode()
            held = {name: name if name in row else column for name, column in media.items()}
            seen.update(name for name, found in held.items() if found in row)
            yield (
                row_id,
                [
                    (name, _digest(row[found]))
                    for name, found in held.items()
                    if row[found].WhichOneof("kind")
                    and row[missing_name(name)].int64_list.value[:1] != [1]
                ],
            )
    unknown = [name for name in media if name not in seen]
    if row and unknown:
        hint = suggestion(unknown[0], row)
        raise RunError(f"no row of the examples has the feature '{unknown[0]}'; {hint}")


def _digest(feature: tf.train.Feature) -> bytes:
    held = feature.bytes_list.value
    content = held[0] if held else feature.SerializeToString(deterministic=True)
    return hashlib.blake2b(content, digest_size=16).digest()
