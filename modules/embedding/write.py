"""The Beam pipeline that embeds: a file of tf.Examples in, one of embeddings out, in its order.

Rows never travel between workers: only the names of files do. So memory stays flat however many
rows there are, and the order of the rows is that of the data.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from functools import partial

import apache_beam as beam
import tensorflow as tf
from apache_beam.utils.shared import Shared

from tfx_fusion.modules.data.split import example_files, temporary_file
from tfx_fusion.modules.embedding.columns import CONTENTS_FILE, Column, Contents
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.errors import RunError

progress = logging.getLogger("fusion.progress")


class _Worker:
    """What the threads of a process share: one embedder, and a count of rows for people."""

    def __init__(self, make: partial[Embedder]) -> None:
        self.embedder = make()
        self.rows = 0


class _EmbedFile(beam.DoFn):
    """Embeds one file; writes aside and renames, so that a worker that dies leaves no short one."""

    def __init__(self, make: partial[Embedder], summaries: str) -> None:
        self._make, self._summaries, self._shared = make, summaries, Shared()

    def setup(self) -> None:
        self._worker = self._shared.acquire(lambda: _Worker(self._make))

    def process(self, element: tuple[int, str, str, str]) -> Iterator[int]:
        index, split, given, wanted = element
        columns: tuple[Column, ...] = ()
        rows = 0
        with tf.io.TFRecordWriter(temporary_file(wanted)) as writer:
            for batch in self._worker.embedder.batches(given):
                found = tuple(Column.of(name, values) for name, values in batch.items())
                check_same(columns or found, found)
                columns = found
                encoded = [column.encode(batch[column.name]) for column in columns]
                for features in zip(*encoded, strict=True):
                    example = tf.train.Example()
                    for column, feature in zip(columns, features, strict=True):
                        example.features.feature[column.name].CopyFrom(feature)
                    writer.write(example.SerializeToString(deterministic=True))
                rows += len(batch["row_id"])
                self._worker.rows += len(batch["row_id"])
                progress.info("%s rows embedded", f"{self._worker.rows:,}")
        tf.io.gfile.rename(temporary_file(wanted), wanted, overwrite=True)
        summary = {"split": split, "rows": rows, "columns": [c.model_dump() for c in columns]}
        with tf.io.gfile.GFile(f"{self._summaries}/{index:05d}.json", "w") as stream:
            json.dump(summary, stream)
        yield rows


def check_same(wanted: tuple[Column, ...], found: tuple[Column, ...]) -> None:
    """Raises RunError where columns differ in shape or dtype from one batch to another."""
    for one, other in zip(wanted, found, strict=True):
        if one != other:
            raise RunError(
                f"an embedding must have one shape in all rows, found {one} and {other}: write "
                "training.embed_once: false to train on raw data"
            )


def write_embeddings(
    pipeline: beam.Pipeline,
    make: partial[Embedder],
    given: Mapping[str, str],
    wanted: Mapping[str, str],
    summaries: str,
) -> None:
    """Adds to a Beam pipeline the embedding of every split; `collect` reads what came of it.

    Args:
        pipeline: a Beam pipeline.
        make: makes the embedder; called once in each process.
        given: the folder of tf.Examples of each split.
        wanted: the folder for the embedded rows of each split.
        summaries: a folder for notes on each file.
    """
    for folder in (*wanted.values(), summaries):
        tf.io.gfile.makedirs(folder)
    files = [
        (split, file, f"{wanted[split]}/{file.rpartition('/')[2]}")
        for split, folder in given.items()
        for file in example_files(folder)
    ]
    (
        pipeline
        | "Files" >> beam.Create([(index, *names) for index, names in enumerate(files)])
        | "Spread" >> beam.Reshuffle()
        | "Embed" >> beam.ParDo(_EmbedFile(make, summaries))
    )


def collect(plan: EmbeddingPlan, summaries: str, folder: str) -> Contents:
    """Writes the contents page of what was embedded into `folder`, and takes the notes away."""
    rows: dict[str, int] = {}
    columns: tuple[Column, ...] = ()
    for path in sorted(tf.io.gfile.glob(f"{summaries}/*.json")):
        with tf.io.gfile.GFile(path) as stream:
            summary = json.load(stream)
        rows[summary["split"]] = rows.get(summary["split"], 0) + summary["rows"]
        found = tuple(Column.model_validate(column) for column in summary["columns"])
        check_same(columns or found, found)
        columns = found
    contents = Contents(plan=plan, columns=columns, rows=rows)
    with tf.io.gfile.GFile(f"{folder}/{CONTENTS_FILE}", "w") as stream:
        stream.write(contents.model_dump_json(indent=1))
    tf.io.gfile.rmtree(summaries)
    return contents
