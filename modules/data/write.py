"""The Beam pipeline from a data file to tf.Examples by split, and the rows that were rejected."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import apache_beam as beam
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.data.file_list import finish, temporary_file
from tfx_fusion.modules.data.fingerprint import (
    NO_FILE,
    ShardDigest,
    combined,
    media_paths,
    media_states,
)
from tfx_fusion.modules.data.rejected import Rejected, check_limit, write_rejected
from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.split import SPLITS, split_of
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.spec import ColumnSplit, NumberFeature

log = logging.getLogger("fusion.data")

# The lowest and highest value of each column of a number feature, NaN where there is none.
Ranges = dict[str, tuple[np.ndarray, np.ndarray]]


def _widen(ranges: Ranges, name: str, low: np.ndarray, high: np.ndarray) -> None:
    known = ranges.get(name, (low, high))
    ranges[name] = np.fmin(known[0], low), np.fmax(known[1], high)


@dataclass(frozen=True)
class RowCounts:
    """How many rows went where."""

    train: int
    eval: int
    rejected: int

    # Of the data that were read, as `modules.data.fingerprint` takes it.
    fingerprint: str = field(default="", compare=False)
    media: tuple[str, ...] = field(default=(), compare=False)  # columns that name files

    @property
    def total(self) -> int:
        return self.train + self.eval + self.rejected


class _WriteShard(beam.DoFn):
    """Writes one shard's rows, one file for each split, in the data's order.

    Media bytes go from the reader to the file inside one call: they never cross workers.
    Files are written under a temporary name and renamed: a worker that dies leaves no partial one.
    """

    def __init__(self, source: RowSource, folders: Mapping[str, str], summaries: str) -> None:
        self._source, self._folders, self._summaries = source, dict(folders), summaries

    def setup(self) -> None:
        source = self._source
        self._parser = RowParser(
            source.features, source.labels, source.data.path.parent, source.data.media_root
        )
        self._media = media_paths(source.data.path, source.features)

    def process(self, element: tuple[int, int, data_file.Shard]) -> Iterator[int]:
        index, total, shard = element
        suffix = f"-{index:05d}-of-{total:05d}"
        names = {split: f"{self._folders[split]}/data_tfrecord{suffix}" for split in SPLITS}
        # A file in each split, if only an empty one: so a missing file is missed.
        writers = {split: tf.io.TFRecordWriter(temporary_file(names[split])) for split in SPLITS}
        counts = dict.fromkeys(SPLITS, 0)
        rejected = []
        ranges: Ranges = {}
        digest, media = ShardDigest(), set()
        for row_id, row in data_file.read(shard, digest):
            states = media_states(self._source.data.path.parent, row, self._media)
            digest.add_media(states)
            try:
                if isinstance(row, data_file.BadRow):
                    raise RowError("", row.reason)
                split = split_of(row, self._source.data.split)
                example = self._parser.example(row_id, row, states)
            except RowError as error:
                rejected.append((row_id, error.column, error.reason))
                continue
            writers[split].write(example.SerializeToString(deterministic=True))
            counts[split] += 1
            media |= {column for column, state in states.items() if state != NO_FILE}
            if split == "train":
                for name in _normalized(self._source):
                    values = np.array(example.features.feature[name].float_list.value)
                    _widen(ranges, name, values, values)
        for split, writer in writers.items():
            writer.close()
            finish(names[split])
        with tf.io.gfile.GFile(f"{self._summaries}/{index:05d}.json", "w") as stream:
            plain = {name: [low.tolist(), high.tolist()] for name, (low, high) in ranges.items()}
            summary = {"counts": counts, "rejected": rejected, "ranges": plain}
            read = {"digest": digest.hexdigest(), "media": sorted(media)}
            json.dump({**summary, **read}, stream)
        yield sum(counts.values())


def write_examples(
    pipeline: beam.Pipeline, source: RowSource, folders: Mapping[str, str], summaries: str
) -> None:
    """Adds to a Beam pipeline the writing of all rows; `collect` reads the result.

    Raises RunError where the data file or one of its columns is missing, or there is no row.
    """
    source.check_columns()
    for folder in (*folders.values(), summaries):
        tf.io.gfile.makedirs(folder)
    shards = data_file.shards(source.data.path)
    elements = [(index, len(shards), shard) for index, shard in enumerate(shards)]
    (
        pipeline
        | "Shards" >> beam.Create(elements)
        | "Spread" >> beam.Reshuffle()
        | "Write" >> beam.ParDo(_WriteShard(source, folders, summaries))
    )


def collect(
    source: RowSource, summaries: str, rejected_folder: str, expected: str = ""
) -> RowCounts:
    """Counts what was written and writes the rejected rows with their reasons to a CSV file.

    Logs a warning for each normalized column that does not vary in the training rows.

    Args:
        source: what was read.
        summaries: the folder of notes that `write_examples` left; it is deleted.
        rejected_folder: where the rejected rows go.
        expected: the fingerprint that the data had before they were read; empty where nobody took
            it.

    Raises RunError where other data were read than expected; RejectedRowsError where more rows
    were rejected than `data.max_rejected` allows, or a split has no row.
    """
    counts = dict.fromkeys(SPLITS, 0)
    rejected: list[Rejected] = []
    ranges: Ranges = {}
    digests = []
    media: set[str] = set()
    for name in sorted(tf.io.gfile.listdir(summaries)):
        with tf.io.gfile.GFile(f"{summaries}/{name}") as stream:
            summary = json.load(stream)
        digests.append(summary["digest"])
        media.update(summary["media"])
        for split in SPLITS:
            counts[split] += summary["counts"][split]
        rejected += [Rejected(*item) for item in summary["rejected"]]
        for name, (low, high) in summary["ranges"].items():
            _widen(ranges, name, np.array(low), np.array(high))
    read = combined(digests)
    if expected not in ("", read):
        raise RunError(
            f"{source.data.path}: the data file, or a media file that it names, was changed while "
            "its rows were read: leave it as it is and run again"
        )
    write_rejected(rejected_folder, rejected)
    tf.io.gfile.rmtree(summaries)
    answer = RowCounts(counts["train"], counts["eval"], len(rejected), read, tuple(sorted(media)))
    _check_counts(source, answer, rejected)
    for name, part in _normalized(source).items():
        for column, low, high in zip(part.names, *ranges[name], strict=True):
            if not low < high:
                log.warning(
                    "features.%s: column '%s' has %s in all training rows: normalized, it is 0",
                    name, column, "no value" if np.isnan(low) else f"the value {low:g}",
                )  # fmt: skip
    return answer


def _normalized(source: RowSource) -> dict[str, NumberFeature]:
    return {
        name: part
        for name, part in source.features.items()
        if isinstance(part, NumberFeature) and part.normalize != "none"
    }


def _check_counts(source: RowSource, counts: RowCounts, rejected: list[Rejected]) -> None:
    data = source.data
    if counts.total == 0:
        raise RunError(f"{data.path}: the data set is empty: expected rows, found none")
    check_limit(rejected, data.max_rejected, counts.total, file=str(data.path))
    for split in SPLITS:
        if getattr(counts, split) == 0:
            how = (
                f"by a hash of '{data.split.by}': take a column with more distinct values"
                if not isinstance(data.split, ColumnSplit)
                else f"by the column '{data.split.column}'"
            )
            raise RejectedRowsError(
                f"{data.path}: the split '{split}' has no rows (of {counts.total}); rows are "
                f"split {how}",
                rejected,
            )
