"""Embedding with Beam: files in, files out, and a contents page; or a clear refusal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.embedding.columns import Column, parse, read_contents
from tfx_fusion.modules.embedding.embedder import RejectedRow
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.embedding.write import collect, write_embeddings
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.pipeline.failure import cause_of

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
PLAN = EmbeddingPlan(features={}, labels={}, embeddings=("a.b",), passed=(), precision="float32")
made: list[int] = []
bad: dict[bytes, int] = {}  # rows that the embedder rejects, with their places in their files


class Counting:
    """In place of an embedder: gives each record's length, in batches of two rows."""

    def __init__(self, widths: tuple[int, ...]) -> None:
        made.append(threading.get_ident())
        self._widths = widths

    def batches(self, path: str, rejected: list[RejectedRow]) -> Iterator[dict[str, np.ndarray]]:
        widths = iter(self._widths)
        for records in tf.data.TFRecordDataset(path).batch(2).as_numpy_iterator():
            if bad and records[0] in bad:
                rejected += [RejectedRow(bad[records[0]], records[0].decode(), "a.b", "odd")]
                records = records[1:]
                if not len(records):
                    continue
            yield {
                "a.b": np.full((len(records), next(widths)), len(records[0]), "float32"),
                "row_id": records,
            }


def write(
    folder: Path, widths: tuple[int, ...] = (3, 3, 3), max_rejected: float = 0.0, earlier: int = 0
) -> Any:
    given = {split: str(folder / "rows" / split) for split in ("train", "eval")}
    wanted = {split: str(folder / "out" / f"Split-{split}") for split in given}
    for split, files in (("train", 3), ("eval", 1)):
        Path(given[split]).mkdir(parents=True)
        for number in range(files):
            name = f"{given[split]}/data_tfrecord-{number:05d}-of-{files:05d}"
            with tf.io.TFRecordWriter(name) as writer:
                for row in range(5):
                    writer.write(f"{split} {number} {row}".encode())
    summaries = str(folder / "out" / "shards")
    with beam.Pipeline(runner=RUNNER) as pipeline:
        write_embeddings(pipeline, partial(Counting, widths), given, wanted, summaries)
    plan = PLAN.model_copy(update={"max_rejected": max_rejected})
    return collect(plan, summaries, str(folder / "out"), earlier)


def test_each_file_becomes_one_of_its_name_with_its_rows_in_their_order(tmp_path: Path) -> None:
    contents = write(tmp_path)

    assert contents == read_contents(str(tmp_path / "out"))
    assert contents.plan == PLAN
    assert contents.rows == {"train": 15, "eval": 5}
    assert [str(column) for column in contents.columns] == ["a.b (3,) float32", "row_id () string"]
    left = sorted(file.name for file in (tmp_path / "out").rglob("*") if file.is_file())
    given = sorted(file.name for file in (tmp_path / "rows").rglob("*") if file.is_file())
    assert left == sorted(
        [*given, "embeddings.json", "rejected_rows.csv"]
    )  # nothing aside is left behind
    files = example_files(str(tmp_path / "out" / "Split-train"))
    columns: dict[str, Column] = {column.name: column for column in contents.columns}
    [rows] = tf.data.TFRecordDataset(files).batch(99)
    found = parse(columns, rows)
    assert found["row_id"].numpy().tolist() == [
        f"train {number} {row}".encode() for number in range(3) for row in range(5)
    ]
    assert (found["a.b"].numpy() == len("train 0 0")).all()


def test_the_sub_models_are_loaded_once_in_a_process(tmp_path: Path) -> None:
    made.clear()
    write(tmp_path)
    assert len(made) == 1


def test_an_embedding_whose_shape_varies_is_refused_with_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="one shape in all rows") as caught:
        write(tmp_path, (3, 4, 4))

    assert cause_of(caught.value) == (
        "an embedding must have one shape in all rows, found a.b (3,) float32 and a.b (4,) "
        "float32: write training.embed_once: false to train on raw data"
    )
    out = tmp_path / "out"
    assert not (out / "embeddings.json").exists()
    assert not [*out.glob("Split-*/data_tfrecord-*")]


def test_files_that_differ_in_shape_are_refused_too(tmp_path: Path) -> None:
    folder = tmp_path / "out" / "shards"
    folder.mkdir(parents=True)
    for index, width in enumerate((3, 4)):
        column = Column(name="a.b", shape=(width,), dtype="float32").model_dump_json()
        summary = f'{{"split": "train", "rows": 1, "columns": [{column}], "rejected": []}}'
        (folder / f"{index:05d}.json").write_text(summary)
    with pytest.raises(RunError, match=r"found a\.b \(3,\) float32 and a\.b \(4,\) float32"):
        collect(PLAN, str(folder), str(tmp_path / "out"))
    assert not (tmp_path / "out" / "embeddings.json").exists()


def test_rows_that_cannot_be_embedded_are_left_out_within_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(bad, b"train 0 2", 2)
    monkeypatch.setitem(bad, b"train 2 4", 4)

    contents = write(tmp_path / "within", max_rejected=0.1)

    assert contents.rows == {"train": 13, "eval": 5}
    assert contents.rejected == {"train": (2, 14), "eval": ()}
    assert (tmp_path / "within" / "out" / "rejected_rows.csv").read_text().split() == [
        "row,column,reason", "train", "0", "2,a.b,odd", "train", "2", "4,a.b,odd",
    ]  # fmt: skip
    with pytest.raises(RejectedRowsError) as caught:
        write(tmp_path / "beyond", max_rejected=0.1, earlier=1)
    assert str(caught.value) == (
        "3 of 21 rows were rejected (1 of them by earlier steps), data.max_rejected allows 10 %. "
        "First: train 0 2, column 'a.b': odd; train 2 4, column 'a.b': odd"
    )
    assert caught.value.rejected == [("train 0 2", "a.b", "odd"), ("train 2 4", "a.b", "odd")]
