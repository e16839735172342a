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
import numpy as np
import tensorflow as tf
from apache_beam.utils.shared import Shared

from tfx_fusion.modules.data.file_list import Folders, example_files, shard_name
from tfx_fusion.modules.data.rejected import Rejected, check_limit, shown, write_rejected
from tfx_fusion.modules.embedding.columns import (
    CONTENTS_FILE,
    Column,
    Contents,
    check_same,
    write_rows,
)
from tfx_fusion.modules.embedding.embedder import Embedder, RejectedRow
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.errors import RejectedRowsError, RunError

progress = logging.getLogger("fusion.progress")


class _Worker:
    """What the threads of a process share: one embedder, and the number of rows for the log."""

    def __init__(self, make: partial[Embedder]) -> None:
        self.embedder = make()
        self.rows = 0


class _EmbedFile(beam.DoFn):
    """Embeds one file, and notes its rows and columns for `collect`."""

    def __init__(self, make: partial[Embedder], summaries: str) -> None:
        self._make, self._summaries, self._shared = make, summaries, Shared()

    def setup(self) -> None:
        self._worker = self._shared.acquire(lambda: _Worker(self._make))

    def process(self, element: tuple[int, str, str, str]) -> Iterator[int]:
        index, split, given, wanted = element
        rejected: list[RejectedRow] = []
        rows, columns = write_rows(self._counted(given, rejected), wanted)
        summary = {
            "split": split,
            "rows": rows,
            "columns": [c.model_dump() for c in columns],
            "rejected": rejected,
        }
        with tf.io.gfile.GFile(f"{self._summaries}/{index:05d}.json", "w") as stream:
            json.dump(summary, stream)
        yield rows

    def _counted(self, path: str, rejected: list[RejectedRow]) -> Iterator[dict[str, np.ndarray]]:
        for batch in self._worker.embedder.batches(path, rejected):
            yield batch
            self._worker.rows += len(batch["row_id"])
            progress.info("%s rows embedded", f"{self._worker.rows:,}")


def write_embeddings(
    pipeline: beam.Pipeline,
    make: partial[Embedder],
    given: Mapping[str, Folders],
    wanted: Mapping[str, str],
    summaries: str,
) -> None:
    """Adds to a Beam pipeline the embedding of every split; `collect` ends it.

    Args:
        pipeline: a Beam pipeline.
        make: makes the embedder; called once in each process.
        given: the folder of tf.Examples of each split, or several.
        wanted: the folder for the embedded rows of each split.
        summaries: a folder for notes on each file.
    """
    for folder in (*wanted.values(), summaries):
        tf.io.gfile.makedirs(folder)
    files = []
    for split, folders in given.items():
        found = example_files(folders)
        if not found:
            raise RunError(f"expected files in the split '{split}' of the examples, found none")
        files += [
            (split, file, f"{wanted[split]}/{shard_name(place, len(found))}")
            for place, file in enumerate(found)
        ]
    (
        pipeline
        | "Files" >> beam.Create([(index, *names) for index, names in enumerate(files)])
        | "Spread" >> beam.Reshuffle()
        | "Embed" >> beam.ParDo(_EmbedFile(make, summaries))
    )


def collect(plan: EmbeddingPlan, summaries: str, folder: str, earlier: int = 0) -> Contents:
    """Writes the contents page and the rejected rows into `folder`, and deletes the notes.

    Args:
        plan: what was embedded.
        summaries: the folder of notes on each file.
        folder: where the embedded rows are.
        earlier: how many rows were rejected before, when they were read.

    Raises RejectedRowsError where the share of rejected rows, these included, exceeds the plan's
    `max_rejected`, or a split has no row left.
    """
    rows: dict[str, int] = {}
    given: dict[str, int] = {}
    places: dict[str, tuple[int, ...]] = {}
    rejected: list[Rejected] = []
    columns: tuple[Column, ...] = ()
    for name in sorted(tf.io.gfile.listdir(summaries)):
        with tf.io.gfile.GFile(f"{summaries}/{name}") as stream:
            summary = json.load(stream)
        split = summary["split"]
        first, bad = given.get(split, 0), [RejectedRow(*row) for row in summary["rejected"]]
        rows[split] = rows.get(split, 0) + summary["rows"]
        given[split] = first + summary["rows"] + len(bad)
        places[split] = (*places.get(split, ()), *(first + row.place for row in bad))
        rejected += [Rejected(row.row_id, row.embedding, row.reason) for row in bad]
        found = tuple(Column.model_validate(column) for column in summary["columns"])
        if found:  # a file may have no usable row
            check_same(columns or found, found)
            columns = found
    write_rejected(folder, rejected)
    check_limit(rejected, plan.max_rejected, sum(given.values()) + earlier, earlier)
    for split, count in rows.items():
        if rejected and not count:
            raise RejectedRowsError(
                f"no row of the split '{split}' can be embedded. First: {shown(rejected)}", rejected
            )
    contents = Contents(plan=plan, columns=columns, rows=rows, rejected=places)
    with tf.io.gfile.GFile(f"{folder}/{CONTENTS_FILE}", "w") as stream:
        stream.write(contents.model_dump_json(indent=1))
    tf.io.gfile.rmtree(summaries)
    return contents
