"""What `fusion predict` asks, and how a prediction is shown in a row of the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import CategoryLabel, Label, MultiLabel, NumberLabel
from tfx_fusion.pipeline.commands.predict import formatted, predict

ONE = CategoryLabel(type="category", column="a", classes=("x", "y", "z"))
SEVERAL = MultiLabel(type="multi_label", column="a", classes=("x", "y", "z"))
NUMBER = NumberLabel(type="number", column="a")


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        (ONE, {"x": 0.3, "y": 0.45, "z": 0.25}, "y (0.450)"),
        (SEVERAL, {"x": 0.91, "y": 0.2, "z": 0.6254}, "x (0.910), z (0.625)"),
        (SEVERAL, {"x": 0.2, "y": 0.2, "z": 0.51}, "z (0.510)"),
        (SEVERAL, {"x": 0.2, "y": 0.5, "z": 0.1}, "no class above 0.5"),
        (NUMBER, 1234.56789, "1234.57"),
    ],
)
def test_a_prediction_is_shown_as_its_label_asks(
    label: Label, value: dict[str, float] | float, expected: str
) -> None:
    assert formatted(label, value) == expected


# One row, and a server


def run(*arguments: str | Path) -> Any:
    return CliRunner().invoke(predict, [*map(str, arguments), "--json"])


@pytest.mark.component
def test_one_row_in_json_is_predicted_as_the_row_of_a_file(
    shared_published: Path, shared_world: Path
) -> None:
    picture = shared_world / "data" / "images" / "0.png"
    row = {"image_path": str(picture), "transcript": "very red"}
    file = shared_published.parent / "one.jsonl"
    file.write_text(json.dumps(row))
    as_json = run(shared_published, json.dumps(row))
    in_file = run(shared_published, file, "--media-root", shared_world)
    assert as_json.exit_code == 0, as_json.output
    assert as_json.stdout == in_file.stdout
    assert set(json.loads(as_json.stdout)["colour"]) == {"red", "green", "blue"}
    outside = run(shared_published, file)
    assert "(data.media_root)" in json.loads(outside.stdout)["error"]


@pytest.mark.component
@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_a_server_needs_only_the_specification(
    shared_published: Path, shared_world: Path, served_colours: Any, protocol: str
) -> None:
    file, data = shared_world / "fusion.yaml", shared_world / "data" / "rows.csv"
    address = getattr(served_colours, protocol)
    remote = run(file, data, "--rows", "3", "--server", address)
    local = run(shared_published, data, "--rows", "3")
    assert remote.exit_code == 0, remote.output
    for one, other in zip(remote.stdout.splitlines(), local.stdout.splitlines(), strict=True):
        found, wanted = json.loads(one), json.loads(other)
        assert found["row"] == wanted["row"]
        assert found["colour"] == pytest.approx(wanted["colour"], abs=1e-5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("{", "expected a JSON object, found broken JSON"),
        ("rows.txt", "expected .csv, .jsonl, .parquet, .tfrecord or .tfrecord.gz"),
        ("rows.csv", "no such data file"),
    ],
)
def test_data_that_are_neither_rows_nor_a_row_are_refused(data: str, message: str) -> None:
    done = run("serving", data)
    assert isinstance(done.exception, RunError)
    assert message in str(done.exception)
