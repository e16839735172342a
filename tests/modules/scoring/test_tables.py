"""The content of a table of scored rows, in each format."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest

from tfx_fusion.modules.scoring.tables import Table
from tfx_fusion.modules.serving.predictor import Prediction
from tfx_fusion.modules.spec import CategoryLabel, MultiLabel, NumberLabel

LABELS: dict[str, Any] = {
    "kind": CategoryLabel(type="category", column="k", classes=('a, "b"', "grün")),
    "tags": MultiLabel(type="multi_label", column="t", classes=("far", "even", "small")),
    "total": NumberLabel(type="number", column="n"),
}
ANSWERS = [
    Prediction(
        "row 1",
        {
            "kind": {'a, "b"': 0.75, "grün": 0.25},
            "tags": {"far": 0.9, "even": 0.5, "small": 0.625},
            "total": 1e-7,
        },
    ),
    Prediction("row 2", error="column 'x': line\nbreak, größer"),
]
COLUMNS = [
    "row", "kind", 'kind.a, "b"', "kind.grün", "tags", "tags.far", "tags.even", "tags.small",
    "total", "error",
]  # fmt: skip


def written(ending: str, folder: Path) -> Path:
    """The two answers as a table of two pieces."""
    specification: Any = SimpleNamespace(outputs=LABELS, label_of=LABELS.__getitem__)
    table = Table(specification, ending)
    pieces = [folder / f"{number}{ending}" for number in range(3)]
    for piece, answers in zip(pieces, (ANSWERS[:1], [], ANSWERS[1:]), strict=True):
        table.write(answers, piece)
    table.join(pieces, folder / f"all{ending}")
    return folder / f"all{ending}"


def test_csv_has_a_column_for_each_value(tmp_path: Path) -> None:
    with written(".csv", tmp_path).open(encoding="utf-8", newline="") as stream:
        reader = csv.DictReader(stream)
        first, second = list(reader)
    assert reader.fieldnames == COLUMNS
    assert first == {
        "row": "row 1", "kind": 'a, "b"', 'kind.a, "b"': "0.75", "kind.grün": "0.25",
        "tags": "far;small", "tags.far": "0.9", "tags.even": "0.5", "tags.small": "0.625",
        "total": "1e-07", "error": "",
    }  # fmt: skip
    assert second == {**dict.fromkeys(COLUMNS, ""), "row": "row 2", "error": ANSWERS[1].error}


def test_parquet_has_typed_columns(tmp_path: Path) -> None:
    table = pq.read_table(written(".parquet", tmp_path))
    assert table.schema.names == COLUMNS
    first, second = table.to_pylist()
    assert (first["kind"], first["tags"], first["total"]) == ('a, "b"', "far;small", 1e-7)
    assert first["error"] is None
    assert second == {**dict.fromkeys(COLUMNS), "row": "row 2", "error": ANSWERS[1].error}


def test_jsonl_is_nested_as_predict_prints_it(tmp_path: Path) -> None:
    lines = written(".jsonl", tmp_path).read_text(encoding="utf-8").splitlines()
    first, second = map(json.loads, lines)
    assert first == {"row": "row 1", **ANSWERS[0].outputs}
    assert second == {"row": "row 2", "error": ANSWERS[1].error}


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_more_rows_than_are_written_together_stay_in_order(ending: str, tmp_path: Path) -> None:
    specification: Any = SimpleNamespace(outputs={"total": 0}, label_of=lambda _: LABELS["total"])
    table = Table(specification, ending)
    answers = [Prediction(f"row {n}", {"total": float(n)}) for n in range(2500)]
    table.write(answers, tmp_path / f"0{ending}")
    table.join([tmp_path / f"0{ending}"], tmp_path / f"all{ending}")
    if ending == ".parquet":
        found = pq.read_table(tmp_path / "all.parquet")["total"].to_pylist()
    elif ending == ".csv":
        with (tmp_path / "all.csv").open(newline="") as stream:
            found = [float(row["total"]) for row in csv.DictReader(stream)]
    else:
        lines = (tmp_path / "all.jsonl").read_text().splitlines()
        found = [json.loads(line)["total"] for line in lines]
    assert found == [float(n) for n in range(2500)]


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_escaped_in_csv_and_numbers_are_not(
    begin: str, tmp_path: Path
) -> None:
    name = f"{begin}SUM(A1)"
    labels = {"kind": CategoryLabel(type="category", column="k", classes=(name, "b")),
              "total": LABELS["total"]}  # fmt: skip
    specification: Any = SimpleNamespace(outputs=labels, label_of=labels.__getitem__)
    answer = Prediction(name, {"kind": {name: 0.75, "b": 0.25}, "total": -2.5})

    def cells(as_is: bool) -> list[str]:
        Table(specification, ".csv", as_is).write([answer], tmp_path / "part.csv")
        with (tmp_path / "part.csv").open(encoding="utf-8", newline="") as stream:
            [row] = csv.reader(stream)
        return row

    assert cells(as_is=False) == [f"'{name}", f"'{name}", "0.75", "0.25", "-2.5", ""]
    assert cells(as_is=True) == [name, name, "0.75", "0.25", "-2.5", ""]
