"""Scoring a data file on Beam, against the published model asked row by row in this process."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from tfx_fusion.modules.data import data_file
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.predictor import Prediction
from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.pipeline.commands.score import score

pytestmark = pytest.mark.component


@pytest.fixture(scope="module")
def data(shared_world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """90 rows, of which row 5 and row 80 cannot be used; two shards."""
    folder = tmp_path_factory.mktemp("data") / "data"
    shutil.copytree(shared_world / "data", folder)
    (folder / "images" / "4.png").write_bytes(b"no picture")
    (folder / "images" / "79.png").unlink()
    return folder / "rows.csv"


@pytest.fixture(scope="module")
def wanted(shared_published: Path, data: Path) -> list[Prediction]:
    model = PublishedModel(shared_published / "1")
    shards = data_file.shards(data)
    assert len(shards) == 2
    found = []
    for row in (row for shard in shards for row in data_file.read(shard)):
        found += model.predict([row], data.parent)
    return found


def run(*arguments: Path) -> Result:
    return CliRunner().invoke(score, [str(argument) for argument in arguments])


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_every_row_is_there_in_order_with_its_prediction_or_its_reason(
    shared_published: Path, data: Path, wanted: list[Prediction], tmp_path: Path, ending: str
) -> None:
    output = tmp_path / "made" / f"scores{ending}"
    done = run(shared_published, data, output)
    assert done.exit_code == 0, done.output
    assert f"90 rows in {output}" in done.output
    assert "2 could not be scored, the first: row 5, column 'image_path': expected" in done.output
    assert list(output.parent.iterdir()) == [output]  # no parts are left

    if ending == ".parquet":
        rows = pq.read_table(output).to_pylist()
    elif ending == ".csv":
        with output.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
    else:
        rows = [json.loads(line) for line in output.read_text().splitlines()]
    assert [row["row"] for row in rows] == [f"row {number}" for number in range(1, 91)]
    for row, answer in zip(rows, wanted, strict=True):
        assert (row.get("error") or None) == answer.error
        if answer.error:
            continue
        chances = answer.outputs["colour"]
        if ending == ".jsonl":
            assert row["colour"] == pytest.approx(chances, abs=1e-6)
        else:
            assert row["colour"] == max(chances, key=lambda name: chances[name])
            for name, chance in chances.items():
                assert float(row[f"colour.{name}"]) == pytest.approx(chance, abs=1e-6)


def test_an_output_of_another_format_is_refused(shared_published: Path, data: Path) -> None:
    done = run(shared_published, data, data.with_name("scores.xlsx"))
    assert isinstance(done.exception, RunError)
    assert "expected a name that ends in .csv, .jsonl, .parquet" in str(done.exception)


def test_where_no_row_can_be_scored_the_reasons_are_written_and_the_command_fails(
    shared_published: Path, data: Path, tmp_path: Path
) -> None:
    lost = tmp_path / "rows.csv"  # its pictures are elsewhere
    shutil.copy(data, lost)
    done = run(shared_published, lost, tmp_path / "scores.csv")
    assert isinstance(done.exception, RunError)
    assert "no row could be scored" in str(done.exception)
    assert (tmp_path / "scores.csv").read_text().count("no such file") == 90


def test_a_failure_leaves_what_was_there_before(
    shared_published: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "scores.csv"
    output.write_text("before")

    def fail(self: PublishedModel, inputs: object) -> None:
        raise RunError("the model went away")

    monkeypatch.setattr(PublishedModel, "ask", fail)
    done = run(shared_published, data, output)
    assert isinstance(done.exception, RunError)
    assert str(done.exception) == "the model went away"
    assert output.read_text() == "before"
    assert list(tmp_path.iterdir()) == [output]
