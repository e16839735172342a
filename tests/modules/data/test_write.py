"""From a data file to tf.Examples by split, with Beam, and the rows that were rejected."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from written_rows import (
    BY_HASH,
    Written,
    files_below,
    rows,
    write_csv,
    write_jsonl,
    write_parquet,
    write_tfrecord,
)

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.split import split_of
from tfx_fusion.modules.data.write import RowCounts

pytestmark = pytest.mark.component

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
