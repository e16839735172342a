"""Runs as their folders hold them, of which some are damaged or none are there."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

import tfx_fusion
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.record import RUN_FILE, RejectedRows, RunRecord, StepRecord
from tfx_fusion.pipeline.runs import Run, read_runs

RECORD = RunRecord(
    name="colours",
    status="published",
    log="/work/runs/1/run.log",
    report="/work/runs/1/report.html",
    published="/work/serving/17",
    metrics={"colour": {"accuracy": 0.9, "example_count": 23.0}},
    rejected=RejectedRows(rows=2, files=("/work/rejected.csv",)),
    steps=[
        StepRecord(name="Rows", component="ManifestExampleGen", outputs={"examples": "/work/rows"}),
        StepRecord(name="Train", component="FusionTrainer", outputs={"model": "/work/model"}),
    ],
)


def test_a_run_has_what_it_did_as_typed_attributes(tmp_path: Path) -> None:
    RECORD.write(tmp_path)

    run = Run.read(tmp_path)

    assert (run.status, run.error, run.name) == ("published", None, tmp_path.name)
    assert run.published == Path("/work/serving/17")
    assert run.model == Path("/work/model/Format-Serving")
    assert (run.report, run.log) == (Path("/work/runs/1/report.html"), Path("/work/runs/1/run.log"))
    assert run.metrics["colour"]["accuracy"] == 0.9
    assert run.rejected.rows == 2
    assert run.outputs == {
        "Rows": {"examples": Path("/work/rows")}, "Train": {"model": Path("/work/model")},
    }  # fmt: skip
    assert repr(run) == f"<Run {tmp_path.name}: published, colour.accuracy 0.9000>"


def test_a_run_that_failed_early_has_nothing_but_its_error(tmp_path: Path) -> None:
    RunRecord(name="colours", status="failed", error="no rows").write(tmp_path)

    run = Run.read(tmp_path)

    assert (run.published, run.model, run.report, run.log, run.quality) == (None,) * 5
    assert (run.metrics, run.outputs, run.steps) == ({}, {}, ())
    assert repr(run) == f"<Run {tmp_path.name}: failed, no rows>"
    long = Run(tmp_path, RunRecord(name="colours", status="failed", error="word " * 99))
    assert len(repr(long)) < 150 + len(tmp_path.name)


def test_runs_come_in_the_order_of_their_start_and_a_damaged_one_is_warned_of(
    tmp_path: Path,
) -> None:
    for name in ("20260102-000000", "20260101-000000", "20260103-000000"):
        (tmp_path / name).mkdir()
        RECORD.write(tmp_path / name)
    (tmp_path / "20260102-000000" / RUN_FILE).write_text("{")
    (tmp_path / "artifacts").mkdir()

    with pytest.warns(UserWarning, match=f"20260102-000000: expected a whole {RUN_FILE}"):
        runs = read_runs(tmp_path)

    assert [run.name for run in runs] == ["20260101-000000", "20260103-000000"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "expected a folder of runs, found none"),
        (lambda folder: folder.write_text(""), "expected a folder of runs, found a file"),
        (lambda folder: folder.mkdir(), "found one in which nothing has been run"),
        (
            lambda folder: (folder.mkdir(), RECORD.write(folder)),
            "expected a folder of runs, found a run: give",
        ),
    ],
    ids=["missing", "file", "empty", "one run"],
)
def test_what_is_no_folder_of_runs_is_refused(make, message: str, tmp_path: Path) -> None:
    make(tmp_path / "runs")

    with pytest.raises(RunError, match=message) as caught:
        tfx_fusion.runs(tmp_path / "runs")
    # A traceback has nothing behind the message.
    assert traceback.format_exception_only(caught.value)[1:] == []
