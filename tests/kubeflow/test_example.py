"""The example on Kubeflow, without a cluster: each step of the compiled pipeline as a pod runs it.

A step is a process with a file system of its own, which gets what KFP's driver and launcher would
give it and nothing else (`tests/shared/cluster.py`). What it publishes must be what a run on this
machine publishes, however often steps die or are repeated.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner
from cluster import ROOT, Cluster
from made_examples import ran as ran_here

from tfx_fusion.kubeflow.compile import command

pytestmark = pytest.mark.end_to_end
SECTION = """\
kubeflow:
  image: fusion:0.1.0
  volumes:
    - {claim: fusion, mount: /fusion, folder: .}
  checkpoints: /fusion/checkpoints
  retries: 1
"""


class Ran(NamedTuple):
    """The folders of the example after a run on this machine and on the cluster, and this run."""

    here: Path
    claim: Path
    run: Any


@pytest.fixture(scope="module")
def ran(shared_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The example trained here, then on the cluster, where training dies once on the way."""
    here = ran_here("image_text", shared_folder)
    compiling, claim = tmp_path_factory.mktemp("compiling"), tmp_path_factory.mktemp("claim")
    for folder in (compiling, claim):
        for part in ("data", "models"):
            shutil.copytree(here / part, folder / part)
    file, pipeline = compiling / "fusion.yaml", compiling / "pipeline.yaml"
    file.write_text((here / "fusion.yaml").read_text() + SECTION)
    compiled = CliRunner().invoke(command, [str(file), "-o", str(pipeline)])
    assert compiled.exit_code == 0, compiled.output

    cluster = Cluster(tmp_path_factory.mktemp("cluster"), claims={"fusion": claim})
    run = cluster.run(pipeline, kill_first_attempt={"Train": "epoch 5/15"})

    print(run)  # with `-s`, or where a test fails
    return Ran(here, claim, run)


def published(folder: Path) -> Path:
    [version] = (folder / "serving").glob("[0-9]*")
    return version


def test_every_step_succeeds_and_gives_what_it_declares(ran: Ran) -> None:
    assert ran.run.succeeded, str(ran.run)
    assert [step.warnings for step in ran.run.steps.values() if step.warnings] == []


def test_training_that_was_killed_resumes_from_its_checkpoint(ran: Ran) -> None:
    train = ran.run.steps["Train"]

    assert train.retries == 1
    assert "resuming after epoch" in train.log


def test_the_published_model_answers_as_the_one_of_a_run_on_this_machine(ran: Ran) -> None:
    from tfx_fusion.modules.data import data_file
    from tfx_fusion.modules.serving.published import PublishedModel

    rows = [row for shard in data_file.shards(ran.here / "data" / "rows.csv")
            for row in data_file.read(shard)]  # fmt: skip
    answers = [
        PublishedModel(published(folder)).predict(rows, ran.here / "data")
        for folder in (ran.here, ran.claim)
    ]

    for here, there in zip(*answers, strict=True):
        assert there.outputs["digit"] == pytest.approx(here.outputs["digit"], abs=1e-6)


def test_the_version_record_holds_the_run_on_the_cluster_and_its_data(ran: Ran) -> None:
    from tfx_fusion.modules.data.fingerprint import fingerprint
    from tfx_fusion.modules.registry.version_record import read_version_record
    from tfx_fusion.modules.spec import load_specification

    record = read_version_record(published(ran.claim))

    assert record is not None
    assert f"/{record.run}/" in ran.run.steps["Publish"].uris["pushed_model"]
    assert record.data.path == "/fusion/data/rows.csv"
    features = load_specification(ran.here / "fusion.yaml").features
    assert record.data.fingerprint == fingerprint(ran.claim / "data" / "rows.csv", features)


def test_the_report_is_at_its_fixed_place(ran: Ran) -> None:
    run = ran.run.steps["Publish"].uris["pushed_model"].split("/image-text/")[1].split("/")[0]

    place = f"{ROOT}/image-text/{run}/Report"
    assert ran.run.steps["Report"].uris["report"] == f"{place}/report.html"
    assert ran.run.steps["Report"].uris["run_record"] == f"{place}/run.json"
    page = ran.run.artifact("Report", "report").read_text()
    assert "Published as /fusion/serving/" in page
    assert "This section could not be made" not in page


def test_the_record_is_that_of_a_run_on_one_machine(ran: Ran) -> None:
    from tfx_fusion.modules.report.record import RunRecord
    from tfx_fusion.modules.report.summaries import TrainingSummary

    record = RunRecord.parse(ran.run.artifact("Report", "run_record").read_text())

    assert record.status == "published"
    assert record.published == f"/fusion/serving/{published(ran.claim).name}"
    assert record.metrics["digit"]["accuracy"] > 0
    summary = record.summary(TrainingSummary)
    assert summary is not None
    assert summary.learned_from == ("embeddings",)


def test_a_repeated_step_publishes_nothing_again(ran: Ran) -> None:
    before = published(ran.claim).name

    again = ran.run.repeat("Publish")

    assert again.status == "succeeded", again.log
    assert published(ran.claim).name == before
    assert again.metadata["pushed_model"]["status"] == "already published"
