"""A submission's end: the report that is downloaded, and what the command prints of it."""

from __future__ import annotations

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from kfp_api import ALL_DONE, FakeKfp
from submissions import Submit, started

from tfx_fusion import kubeflow
from tfx_fusion.kubeflow.submission import Submission
from tfx_fusion.kubeflow.submit import command
from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.report.record import RunRecord

PAGE = b"<!doctype html>\n<html><title>colours, run 1</title></html>"
PUBLISHED = RunRecord(name="colours", status="published", published="/data/serving/1763975000")


def reported(
    kfp: FakeKfp, submission: Submission, record: RunRecord = PUBLISHED, scheme: str = "minio"
) -> str:
    """A run that ended well, with a report and a record in the bucket."""
    kfp.script = ALL_DONE
    run_id = started(submission)
    source = {"gs": "gcs"}.get(scheme, scheme)
    folder = f"fusion/colours/{run_id}/Report"
    kfp.bucket = {
        (source, "models", f"{folder}/report.html"): PAGE,
        (source, "models", f"{folder}/run.json"): record.model_dump_json().encode(),
    }
    return run_id


@pytest.mark.parametrize("scheme", ["minio", "s3", "gs"])
def test_the_report_and_the_record_are_downloaded_through_the_user_interface(
    kfp: FakeKfp, submit: Submit, printed: StringIO, tmp_path: Path, scheme: str
) -> None:
    submission = submit(root=f"{scheme}://models/fusion")
    run_id = reported(kfp, submission, scheme=scheme)
    submission.follow(None)
    folder = tmp_path / "runs" / "kubeflow" / run_id
    assert (folder / "report.html").read_bytes() == PAGE
    assert RunRecord.read(folder) == PUBLISHED
    lines = [f"report {folder / 'report.html'}", f"record {folder / 'run.json'}"]
    lines.append("published /data/serving/1763975000")
    assert "\n".join(lines) in printed.getvalue()


def test_the_report_is_written_to_the_given_file(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    kfp.multi_user = True
    submission = submit("anna", root="s3://models/fusion")
    reported(kfp, submission, scheme="s3")
    submission.follow(tmp_path / "here.html")
    assert (tmp_path / "here.html").read_bytes() == PAGE


def test_a_run_that_published_nothing_fails_with_the_reason_after_the_report(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    submission = submit(root="s3://models/fusion")
    error = "the model was not published: digit.accuracy: 0.3 is below 0.9"
    record = RunRecord(name="colours", status="not published", error=error)
    run_id = reported(kfp, submission, record, "s3")
    with pytest.raises(RunError) as caught:
        submission.follow(tmp_path / "here.html")
    assert str(caught.value) == f"{error}\nrun: {submission.server.run_url(run_id)}"
    assert (tmp_path / "here.html").read_bytes() == PAGE


def test_a_record_of_another_version_is_reported_and_left(
    kfp: FakeKfp, submit: Submit, printed: StringIO
) -> None:
    submission = submit(root="s3://models/fusion")
    run_id = reported(kfp, submission, scheme="s3")
    kfp.bucket["s3", "models", f"fusion/colours/{run_id}/Report/run.json"] = b'{"stages": []}'
    submission.follow(None)
    assert "the record cannot be read: " in printed.getvalue()


@pytest.mark.parametrize("interface", [True, False])
def test_the_place_of_a_report_that_cannot_be_downloaded_is_printed(
    kfp: FakeKfp, submit: Submit, printed: StringIO, tmp_path: Path, interface: bool
) -> None:
    kfp.script, kfp.interface = ALL_DONE, interface
    submission = submit(root="s3://models")
    run_id = started(submission)
    submission.follow(tmp_path / "here.html")
    for name, file in (("report", "report.html"), ("record", "run.json")):
        place = f"{name} s3://models/colours/{run_id}/Report/{file} (not downloaded: "
        assert place in printed.getvalue()
    assert not (tmp_path / "here.html").exists()


def test_the_help_of_the_command_imports_neither_kfp_nor_tfx() -> None:
    code = (
        "import sys\n"
        "from tfx_fusion.kubeflow import submit\n"
        "print('imported:', sorted({'kfp', 'tfx', 'kfp_server_api', 'kubernetes', 'tensorflow'}"
        " & set(sys.modules)), flush=True)\n"
        "submit.command(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "imported: []" in done.stdout
    for word in ("FUSION_KFP_HOST", "--root", "--no-wait", "runs/kubeflow/RUN_ID/report.html"):
        assert word in done.stdout


def test_missing_packages_are_reported_with_the_extra_that_installs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kubeflow, "PACKAGES", ("kfp", "no_such_package"))

    done = CliRunner().invoke(command, ["fusion.yaml", "--host", "x", "--root", "s3://models"])

    assert isinstance(done.exception, UserError)
    assert str(done.exception) == (
        "this command needs no_such_package: pip install 'tfx-fusion[kubeflow]'"
    )
