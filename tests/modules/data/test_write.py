"""From a data file to tf.Examples by split, with Beam, and the rows that were rejected."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions
from PIL import Image

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.split import split_of
from tfx_fusion.modules.data.write import RowCounts, collect, write_examples
from tfx_fusion.modules.errors import RejectedRowsError, RunError, SpecificationError

pytestmark = pytest.mark.component

# As in pipeline.pipeline, which would import all of TFX.
RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
BY_HASH = {"by": "id", "train": 0.7, "eval": 0.3}
NUMBER = {"size": {"type": "number", "column": "size"}}
LABEL = {"colour": {"type": "category", "column": "colour", "classes": ["red", "green"]}}
Row = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What a run left in its folders."""

    counts: RowCounts
    folder: Path

    def examples(self, split: str) -> list[tf.train.Example]:
        files = sorted((self.folder / split).iterdir())
        records = tf.data.TFRecordDataset([str(file) for file in files])
        return [tf.train.Example.FromString(record.numpy()) for record in records]

    def row_ids(self, split: str) -> list[str]:
        return [
            example.features.feature["row_id"].bytes_list.value[0].decode()
            for example in self.examples(split)
        ]

    def rejected(self) -> list[list[str]]:
        with (self.folder / "rejected" / "rejected_rows.csv").open(newline="") as stream:
            return list(csv.reader(stream))


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Written]:
    """Writes the examples of a data file below `tmp_path`, as ManifestExampleGen does."""

    def written(
        data: Path,
        features: dict = NUMBER,
        labels: dict = LABEL,
        split: dict = BY_HASH,
        max_rejected: float = 0.01,
    ) -> Written:
        source = RowSource.model_validate(
            {
                "data": {"path": str(data), "split": split, "max_rejected": max_rejected},
                "features": features,
                "labels": labels,
            }
        )
        out = tmp_path / "out"
        folders = {split: str(out / split) for split in ("train", "eval")}
        with beam.Pipeline(options=PipelineOptions([RUNNER])) as pipeline:
            write_examples(pipeline, source, folders, str(out / "summaries"))
        return Written(collect(source, str(out / "summaries"), str(out / "rejected")), out)

    return written


def rows(count: int) -> list[Row]:
    return [
        {"id": number, "size": number / 4, "colour": ("red", "green")[number % 2]}
        for number in range(count)
    ]


def write_csv(path: Path, given: Iterable[Row]) -> Path:
    given = list(given)
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, given[0])
        writer.writeheader()
        writer.writerows(given)
    return path


def write_jsonl(path: Path, given: Iterable[Row]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def write_parquet(path: Path, given: Iterable[Row]) -> Path:
    pq.write_table(pa.Table.from_pylist(list(given)), path, row_group_size=100)
    return path


def write_tfrecord(path: Path, given: Iterable[Row]) -> Path:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in given:
            example = tf.train.Example()
            feature = example.features.feature
            feature["id"].int64_list.value.append(row["id"])
            feature["size"].float_list.value.append(row["size"])
            feature["colour"].bytes_list.value.append(row["colour"].encode())
            writer.write(example.SerializeToString())
    return path


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


# What is written


def test_every_row_is_written_once_in_its_split_in_the_order_of_the_data(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    given = rows(300)

    written = run(write_csv(tmp_path / "rows.csv", given))

    source = RowSource.model_validate(
        {"data": {"path": "rows.csv", "split": BY_HASH}, "features": {}, "labels": {}}
    )
    wanted: dict[str, list[str]] = {"train": [], "eval": []}
    for number, row in enumerate(given, start=1):
        wanted[split_of(row, source.data.split)].append(f"row {number}")
    assert written.row_ids("train") == wanted["train"]
    assert written.row_ids("eval") == wanted["eval"]
    assert written.counts == RowCounts(len(wanted["train"]), len(wanted["eval"]), 0)
    assert written.counts.total == 300


def test_a_record_holds_what_the_row_says(run: Callable[..., Written], tmp_path: Path) -> None:
    given = rows(100)

    written = run(write_csv(tmp_path / "rows.csv", given))

    for example in written.examples("train"):
        feature = example.features.feature
        assert set(feature) == {"row_id", "size", "colour"}
        number = int(feature["row_id"].bytes_list.value[0].decode().removeprefix("row ")) - 1
        assert feature["size"].float_list.value == [given[number]["size"]]
        assert feature["colour"].bytes_list.value == [given[number]["colour"].encode()]


def test_images_are_found_beside_the_data_file_and_stay_encoded(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    (folder / "images").mkdir(parents=True)
    given = []
    for number, row in enumerate(rows(20)):
        stream = io.BytesIO()
        Image.fromarray(np.full((4, 4, 3), number, np.uint8)).save(stream, "PNG")
        (folder / "images" / f"{number}.png").write_bytes(stream.getvalue())
        given.append({**row, "path": f"images/{number}.png"})

    written = run(
        write_csv(folder / "rows.csv", given),
        features={"image": {"type": "image", "column": "path", "shape": [4, 4, 3]}},
    )

    for split in ("train", "eval"):
        for example in written.examples(split):
            feature = example.features.feature
            number = int(feature["row_id"].bytes_list.value[0].decode().removeprefix("row ")) - 1
            assert feature["image"].bytes_list.value == [
                (folder / "images" / f"{number}.png").read_bytes()
            ]


@pytest.mark.parametrize(
    ("ending", "write"),
    [("jsonl", write_jsonl), ("parquet", write_parquet), ("tfrecord", write_tfrecord)],
)
def test_every_format_gives_the_examples_of_csv(
    run: Callable[..., Written], tmp_path: Path, ending: str, write: Callable[..., Path]
) -> None:
    def content(written: Written, split: str) -> list[tuple]:
        return [
            (
                list(example.features.feature["size"].float_list.value),
                list(example.features.feature["colour"].bytes_list.value),
            )
            for example in written.examples(split)
        ]

    given = rows(150)
    wanted = run(write_csv(tmp_path / "rows.csv", given))
    from_csv = {split: content(wanted, split) for split in ("train", "eval")}
    for file in (tmp_path / "out").rglob("data_tfrecord-*"):
        file.unlink()

    found = run(write(tmp_path / f"rows.{ending}", given))

    assert {split: content(found, split) for split in ("train", "eval")} == from_csv


def test_a_column_can_say_the_split(run: Callable[..., Written], tmp_path: Path) -> None:
    given = [{**row, "part": "eval" if row["id"] % 5 == 0 else "train"} for row in rows(50)]

    written = run(write_csv(tmp_path / "rows.csv", given), split={"column": "part"})

    assert written.counts == RowCounts(train=40, eval=10, rejected=0)
    assert written.row_ids("eval") == [f"row {number + 1}" for number in range(0, 50, 5)]


def test_nothing_but_examples_and_rejected_rows_is_left(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    written = run(write_csv(tmp_path / "rows.csv", rows(192)))

    assert files_below(written.folder) == [
        *(f"eval/data_tfrecord-0000{part}-of-00003" for part in range(3)),
        "rejected/rejected_rows.csv",
        *(f"train/data_tfrecord-0000{part}-of-00003" for part in range(3)),
    ]


def test_a_shard_without_rows_of_a_split_leaves_an_empty_file_there(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    given = [{**row, "part": "train" if row["id"] < 64 else "eval"} for row in rows(128)]

    written = run(write_csv(tmp_path / "rows.csv", given), split={"column": "part"})

    sizes = {name: (written.folder / name).stat().st_size for name in files_below(written.folder)}
    assert [name for name, size in sizes.items() if not size] == [
        "eval/data_tfrecord-00000-of-00002",
        "train/data_tfrecord-00001-of-00002",
    ]
    assert len(written.row_ids("train")) == len(written.row_ids("eval")) == 64


# Rejected rows


def test_rejected_rows_are_written_with_their_reasons(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "rows.csv", rows(200))
    with path.open("ab") as stream:
        stream.write(b'200,tall,red\n201,1\n202,1,"bl\xffue, or ""so"""\n,1,red\n')

    written = run(path, max_rejected=0.5)

    assert written.counts.rejected == 4
    assert written.counts.total == 204
    assert written.rejected() == [
        ["row", "column", "reason"],
        ["row 201", "size", "expected a number, found 'tall'"],
        ["row 202", "", "expected 3 cells as in the header, found 2"],
        ["row 203", "colour", "expected UTF-8 text, found a broken byte at character 3"],
        ["row 204", "id", "expected a value to split by, found none"],
    ]


def test_where_no_row_is_rejected_the_file_says_so(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    written = run(write_csv(tmp_path / "rows.csv", rows(20)))

    assert written.rejected() == [["row", "column", "reason"]]


def bad(given: list[Row], count: int) -> list[Row]:
    return [{**row, "size": "tall"} for row in given[:count]] + given[count:]


@pytest.mark.parametrize(
    ("rejected", "allowed"), [(1, 0.01), (7, 0.07), (29, 0.29), (57, 0.57), (99, 1.0)]
)
def test_as_many_rows_as_allowed_may_be_rejected(
    run: Callable[..., Written], tmp_path: Path, rejected: int, allowed: float
) -> None:
    # At 29 % and 57 %, `0.29 * 100` is less than 29 in floating point.
    given = [{**row, "part": ("train", "eval")[row["id"] % 2]} for row in bad(rows(100), rejected)]
    if rejected == 99:
        given.append({**rows(1)[0], "part": "train"})

    written = run(
        write_csv(tmp_path / "rows.csv", given), split={"column": "part"}, max_rejected=allowed
    )

    assert written.counts.rejected == rejected


def test_more_rejected_rows_than_allowed_stop_the_run_and_are_written(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "rows.csv", bad(rows(100), 5))

    with pytest.raises(RejectedRowsError) as caught:
        run(path, max_rejected=0.04)

    reason = "column 'size': expected a number, found 'tall'"
    assert str(caught.value) == (
        f"{path}: 5 of 100 rows were rejected, data.max_rejected allows 4 %. "
        f"First: row 1, {reason}; row 2, {reason}; row 3, {reason}"
    )
    assert [row for row, _, _ in caught.value.rejected] == [f"row {n}" for n in range(1, 6)]


def test_no_rejected_row_may_be_allowed(run: Callable[..., Written], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "rows.csv", bad(rows(100), 1))

    with pytest.raises(RunError, match=r"1 of 100 rows were rejected, .* allows 0 %"):
        run(path, max_rejected=0.0)


# What stops a run


@pytest.mark.parametrize(
    ("split", "change", "expected"),
    [
        (
            BY_HASH,
            {"id": "1"},
            "the split 'eval' has no rows (of 20); rows are split by a hash of 'id': "
            "take a column with more distinct values",
        ),
        (
            {"column": "part"},
            {"part": "eval"},
            "the split 'train' has no rows (of 20); rows are split by the column 'part'",
        ),
    ],
)
def test_a_split_without_rows_stops_the_run(
    run: Callable[..., Written], tmp_path: Path, split: dict, change: Row, expected: str
) -> None:
    path = write_csv(tmp_path / "rows.csv", [{**row, **change} for row in rows(20)])

    with pytest.raises(RunError) as caught:
        run(path, split=split)

    assert str(caught.value) == f"{path}: {expected}"


def test_missing_columns_stop_the_run_before_anything_is_written(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("id,size\n1,2\n")

    with pytest.raises(SpecificationError, match=r"labels\.colour: .* has no column 'colour'"):
        run(path)

    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content"), [("rows.csv", "id,size,colour\n"), ("r.tfrecord", "")]
)
def test_a_data_file_without_rows_stops_the_run(
    run: Callable[..., Written], tmp_path: Path, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content)

    with pytest.raises(RunError) as caught:
        run(path)

    assert str(caught.value) == f"{path}: the data set is empty: expected rows, found none"


def test_a_damaged_file_stops_the_run_with_its_name(
    run: Callable[..., Written], tmp_path: Path
) -> None:
    path = write_tfrecord(tmp_path / "rows.tfrecord", rows(20))
    path.write_bytes(path.read_bytes()[:-7])

    with pytest.raises(RunError) as caught:
        run(path)

    assert str(caught.value).startswith(f"{path}: damaged after record 19: ")


@pytest.mark.parametrize("normalize", ["standard", "none"])
def test_a_normalized_column_that_does_not_vary_is_logged(
    run: Callable[..., Written], tmp_path: Path, caplog: pytest.LogCaptureFixture, normalize: str
) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [{"id": n, "a": n, "b": 0.5, "c": None, "colour": "red"} for n in range(300)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"type": "number", "normalize": normalize, "missing": "allowed"}

    run(path, {"x": {**columns, "columns": ["a", "b"]}, "y": {**columns, "column": "c"}})

    assert [record.message for record in caplog.records if record.name == "fusion.data"] == [
        "features.x: column 'b' has the value 0.5 in all training rows: normalized, it is 0",
        "features.y: column 'c' has no value in all training rows: normalized, it is 0",
    ] * (normalize == "standard")
