"""A run's record: what it holds comes back, and its schema describes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import TypeAdapter

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality, write_quality
from tfx_fusion.modules.report.record import RunRecord, StepRecord
from tfx_fusion.modules.report.summaries import (
    AblationSummary,
    ChampionSummary,
    DataGateSummary,
    DriftedFeature,
    EmbeddingsSummary,
    EvaluationSummary,
    Gain,
    PublishSummary,
    RowsSummary,
    ServerSpeed,
    ServingSummary,
    StepSummary,
    SubmodelSummary,
    Summary,
    TrainingSummary,
)
from tfx_fusion.pipeline.commands.schema import run_schema

SPEED = ServerSpeed(p50_ms=1.25, p95_ms=2.0, p99_ms=3.0, rows_per_second=400)

# Every kind of summary, with what it says.
SUMMARIES: list[tuple[Summary, str]] = [
    (RowsSummary(train=1200, eval=23, rejected=0), "1,200 train, 23 eval, 0 rejected"),
    (ChampionSummary(), "no published model yet"),
    (ChampionSummary(version="17"), "version 17"),
    (
        ChampionSummary(version="17", not_comparable="it reads 'x'"),
        "version 17, not comparable: it reads 'x'",
    ),
    (
        DataGateSummary(drift_skipped="no published model yet"),
        "no anomalies, drift skipped: no published model yet",
    ),
    (
        DataGateSummary(
            anomalies=("a", "b", "c", "d"), eval_rows=30, leaked_rows=2, version="17",
            drift=DriftedFeature(name="size", distance=0.25), not_compared=("colour",),
        ),
        "anomalies: a; b; c, 2 of 30 eval rows leak, drift from version 17 at most 0.250 (size), "
        "not in the champion's data: colour",
    ),
    (SubmodelSummary(parameters=1234, digest="d" * 64), "1,234 parameters, digest dddddddddddd"),
    (EmbeddingsSummary(rows=90, bytes_per_row=1056), "90 rows, 1,056 bytes each"),
    (
        TrainingSummary(
            learned_from=("embeddings", "rows"), loss=0.5, frozen_tensors=21, rejected=2
        ),
        "on embeddings and raw data, loss 0.5000, 21 frozen tensors verified unchanged, "
        "2 rows left out",
    ),
    (
        TrainingSummary(
            learned_from=("rows",), loss=None, frozen_tensors=0, warm_start="from scratch"
        ),
        "on raw data, loss not finite, 0 frozen tensors verified unchanged, from scratch",
    ),
    (
        AblationSummary(gains=(Gain(output="digit", metric="auc", branch="text", gain=0.125),)),
        "digit.auc +0.1250 over text alone",
    ),
    (
        EvaluationSummary(metrics={"digit": {"example_count": 9.0, "auc": 0.5}}),
        "digit.auc 0.5000",
    ),
    (
        ServingSummary(rows=30, server="fusion serve", speed=SPEED),
        "30 rows answered by fusion serve as in training, p50 1.2 ms, p95 2.0, p99 3.0, 400 rows/s",
    ),
    (
        ServingSummary(rows=30, problems=("a", "b", "c", "d", "e")),
        "not blessed: a; b; c; and 2 more",
    ),
    (PublishSummary(status="published", version="17", path="/s/17"), "published /s/17"),
    (
        PublishSummary(status="already published", version="17", path="/s/17"),
        "already published /s/17",
    ),
    (PublishSummary(status="rolled back", version="17", path="/s/17"), "not published"),
    (PublishSummary(status="not blessed"), "not published"),
]  # fmt: skip
MISSED = Line(
    output="digit", metric="auc", rows=9, value=0.5, bounds=(Bound(text="≥ 0.9", met=False),)
)


@pytest.mark.parametrize(("summary", "text"), SUMMARIES, ids=lambda one: getattr(one, "kind", ""))
def test_a_summary_says_itself_and_comes_back(summary: Summary, text: str) -> None:
    content = summary.model_dump_json()

    assert summary.text == json.loads(content)["text"] == text
    assert TypeAdapter(StepSummary).validate_json(content) == summary


def test_every_kind_of_summary_is_in_the_table_above() -> None:
    assert {type(summary) for summary, _ in SUMMARIES} == set(Summary.__subclasses__())


def test_a_whole_record_fits_its_schema_and_comes_back(tmp_path: Path) -> None:
    steps = [
        StepRecord(name=f"Step-{number}", component="C", status="done", summary=summary)
        for number, (summary, _) in enumerate(SUMMARIES)
    ]
    quality = Quality(lines=(MISSED,), missed=("m",))
    record = RunRecord(name="digits", status="published", steps=steps, quality=quality)

    record.write(tmp_path)

    assert RunRecord.read(tmp_path) == record
    assert [file.name for file in tmp_path.iterdir()] == ["run.json"]
    content = json.loads((tmp_path / "run.json").read_text())
    jsonschema.validate(content, run_schema())
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**content, "stages": []}, run_schema())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "No such file or directory"),
        ("{", "EOF while parsing"),
        ('{"name": "digits", "stages": []}', "stages: Extra inputs are not permitted"),
    ],
    ids=["missing", "damaged", "older"],
)
def test_a_record_that_cannot_be_read_is_an_error(
    tmp_path: Path, text: str | None, message: str
) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)

    with pytest.raises(RunError, match=message) as caught:
        RunRecord.read(tmp_path)

    assert str(caught.value).startswith(f"{tmp_path}: expected a whole run.json, found ")
    assert str(caught.value).endswith("; run again")


def record_of(folder: Path, quality: Quality, *summaries: Summary) -> RunRecord:
    """The record of a run whose steps all ended well, concluded."""
    write_quality(quality, folder)
    outputs = {"evaluation": folder, "rejected_rows": folder, "training_record": folder}
    places = {key: str(place) for key, place in outputs.items()}
    steps = [StepRecord(name="Evaluate", component="C", status="done", outputs=places)]
    steps += [
        StepRecord(name="S", component="C", summary=summary, outputs=places)
        for summary in summaries
    ]
    record = RunRecord(name="digits", steps=steps)
    record.conclude()
    return record


def test_the_rejected_rows_of_a_run_are_those_of_all_its_steps(tmp_path: Path) -> None:
    def step(key: str, summary: Summary) -> StepRecord:
        return StepRecord(name=key, component="C", summary=summary, outputs={key: f"/{key}"})

    read = step("rejected_rows", RowsSummary(train=90, eval=9, rejected=1))
    embedded = step("embeddings", EmbeddingsSummary(rows=97, bytes_per_row=4, rejected=2))
    trained = step("training_record", TrainingSummary(
        learned_from=("embeddings",), loss=0.5, frozen_tensors=1, rejected=3))  # fmt: skip

    def counted(*steps: StepRecord, **failed: Any) -> dict[str, Any]:
        record = RunRecord(name="digits", steps=list(steps))
        record.count_rejected(**failed)
        return record.rejected.model_dump()

    [rows, embeddings, training] = [
        f"/{key}/rejected_rows.csv" for key in ("rejected_rows", "embeddings", "training_record")
    ]
    assert counted(read, embedded) == {"rows": 3, "files": (rows, embeddings)}
    # Training leaves out what was not embedded as well.
    assert counted(read, embedded, trained) == {"rows": 4, "files": (rows, training)}
    assert counted(read, embedded, more=9, file="f") == {"rows": 10, "files": (rows, "f")}


def test_a_published_run_has_its_version_and_metrics(tmp_path: Path) -> None:
    pushed = PublishSummary(status="already published", version="17", path="/serving/17")
    rows = RowsSummary(train=1, eval=2, rejected=3)

    record = record_of(tmp_path, Quality(lines=(MISSED,)), rows, pushed)

    assert (record.status, record.published, record.error) == ("published", "/serving/17", None)
    assert record.metrics == {"digit": {"example_count": 9.0, "auc": 0.5}}
    assert (record.rejected.rows, record.rejected.files) == (3, (f"{tmp_path}/rejected_rows.csv",))
    assert record.training_record == str(tmp_path / "record.md")


@pytest.mark.parametrize(
    ("quality", "summaries", "reason"),
    [
        (Quality(lines=(MISSED,), missed=("digit.auc is 0.5",)), (), "digit.auc is 0.5"),
        (
            Quality(lines=(MISSED,), missed=("digit.auc is 0.5",)),
            (ServingSummary(rows=3, problems=("too slow",)),),
            "digit.auc is 0.5; in a model server: too slow",
        ),
        (
            Quality(lines=()),
            (),
            "the specification sets no bounds: write what the model must reach in "
            "evaluation.thresholds",
        ),
        (Quality(lines=(MISSED,)), (), "it was not blessed"),
        (
            Quality(lines=(MISSED,)),
            (PublishSummary(status="rolled back", version="17", path="/serving/17"),),
            "it is version 17, which was rolled back; `fusion rollback` can serve it again",
        ),
    ],
    ids=["bound", "server", "no bounds", "blessing", "rolled back"],
)
def test_a_run_that_published_nothing_has_the_reason(
    tmp_path: Path, quality: Quality, summaries: tuple[Summary, ...], reason: str
) -> None:
    record = record_of(tmp_path, quality, *summaries)

    assert (record.status, record.published) == ("not published", None)
    assert record.error == f"the model was not published: {reason}"


def test_a_record_is_read_without_tensorflow() -> None:
    code = (
        "import sys\n"
        "import tfx_fusion.modules.report.record\n"
        "print({'tensorflow', 'tfx', 'apache_beam', 'keras'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
