"""The Beam pipeline that scores: one part of the table for each shard of the data, then all joined.

Only the names of shards travel between workers, never rows, so memory does not grow with the data.
Parts are written aside and renamed, so that a worker that dies leaves no incomplete one.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import folder_aside, remove_unfinished, whole_file
from tfx_fusion.modules.registry.versions import find_version
from tfx_fusion.modules.scoring.tables import ENDINGS, Table
from tfx_fusion.modules.serving.predictor import Prediction
from tfx_fusion.modules.serving.published import PublishedModel, read_specification

progress = logging.getLogger("fusion.progress")


@dataclass
class Scored:
    """The number of rows, the number that could not be scored, and the first error of these."""

    rows: int = 0
    failed: int = 0
    first_error: str | None = None

    def count(self, answer: Prediction) -> None:
        """Counts one row."""
        self.rows += 1
        if answer.error is not None:
            self.failed += 1
            self.first_error = self.first_error or f"{answer.row_id}, {answer.error}"

    def add(self, later: Scored) -> None:
        """Adds the counts of rows that come later in the data."""
        self.rows += later.rows
        self.failed += later.failed
        self.first_error = self.first_error or later.first_error


class _ScoreShard(beam.DoFn):
    """Scores one shard; a process loads the model once."""

    def __init__(self, version: str, table: Table, folder: str, media_root: Path | None) -> None:
        self._version, self._table, self._folder = version, table, folder
        self._media_root = media_root
        self._shared = Shared()

    def setup(self) -> None:
        self._model = self._shared.acquire(lambda: PublishedModel(Path(self._version)))

    def process(self, element: tuple[int, data_file.Shard]) -> Iterator[int]:
        index, shard = element
        scored = Scored()

        def answers() -> Iterator[Prediction]:
            media = Path(shard.path).resolve().parent
            for answer in self._model.predict(data_file.read(shard), media, self._media_root):
                scored.count(answer)
                yield answer

        part = _part(Path(self._folder), index, self._table.ending)
        with whole_file(part) as aside:
            self._table.write(answers(), aside)
        part.with_suffix(".summary").write_text(json.dumps(asdict(scored)))
        progress.info("shard %d: %d rows", index + 1, scored.rows)
        yield scored.rows


def _part(folder: Path, index: int, ending: str) -> Path:
    return folder / f"{index:06d}{ending}"


def score(
    model: Path,
    data: Path,
    output: Path,
    beam_args: Sequence[str],
    media_root: Path | None = None,
    as_is: bool = False,
) -> Scored:
    """Writes the predictions of all rows of a data file, in their order, whole or not at all.

    A row that cannot be scored is there with its error.

    Args:
        model: a publish folder, whose newest version is taken, or a version folder.
        data: CSV, JSONL, Parquet or TFRecords, with the columns of the model's features.
        output: the file to write, in the format of its ending.
        beam_args: the arguments of the Beam pipeline.
        media_root: the folder that holds all media; None takes the data file's.
        as_is: write text as it is into CSV also where a spreadsheet would run it as a formula.

    Raises RunError for another ending and where `model` holds no published version.
    """
    ending = output.suffix.lower()
    if ending not in ENDINGS:
        raise RunError(f"{output}: expected a name that ends in {', '.join(ENDINGS)}")
    version = find_version(model)
    table = Table(read_specification(version), ending, as_is)
    shards = data_file.shards(data)
    remove_unfinished(output.parent, below=False)
    with folder_aside(output) as folder:
        with beam.Pipeline(options=PipelineOptions(list(beam_args))) as pipeline:
            (
                pipeline
                | "Shards" >> beam.Create(list(enumerate(shards)))
                | "Spread" >> beam.Reshuffle()
                | "Score" >> beam.ParDo(_ScoreShard(str(version), table, str(folder), media_root))
            )
        total = Scored()
        parts = [_part(folder, index, ending) for index in range(len(shards))]
        for part in parts:
            total.add(Scored(**json.loads(part.with_suffix(".summary").read_text())))
        with whole_file(output) as aside:
            table.join(parts, aside)
    return total
