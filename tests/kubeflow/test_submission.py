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


def page(status: str, more: str) -> bytes:
    """A report's page, as far as it is read (`test_verdict.py` reads a real one)."""
    glance = f'<section id="glance"><p>{status}</p><p>{more}</p></section>'
    return f"<!doctype html>\n<html><title>colours, run 1</title>{glance}</html>".encode()


def reported(kfp: FakeKfp, submission: Submission, content: bytes, scheme: str = "minio") -> str:
    """A run that ended well, with a report in the bucket."""
    kfp.script = ALL_DONE
    run_id = started(submission)
    source = {"gs": "gcs"}.get(scheme, scheme)
    kfp.bucket = {(source, "models", f"fusion/colours/{run_id}/Report/report.html"): content}
    return run_id


PUBLISHED = page("published", "Published as /data/serving/1763975000")


@pytest.mark.parametrize("scheme", ["minio", "s3", "gs"])
def test_the_report_is_downloaded_through_the_user_interface(
    kfp: FakeKfp, submit: Submit, printed: StringIO, tmp_path: Path, scheme: str
) -> None:
    submission = submit(root=f"{scheme}://models/fusion")
    run_id = reported(kfp, submission, PUBLISHED, scheme)
    submission.follow(None)
    file = tmp_path / "runs" / "kubeflow" / run_id / "report.html"
    assert file.read_bytes() == PUBLISHED
    assert f"report {file}\nPublished as /data/serving/1763975000\n" in printed.getvalue()


def test_the_report_is_written_to_the_given_file(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    kfp.multi_user = True
    submission = submit("anna", root="s3://models/fusion")
    reported(kfp, submission, PUBLISHED, "s3")
    submission.follow(tmp_path / "here.html")
    assert (tmp_path / "here.html").read_bytes() == PUBLISHED


def test_a_run_that_published_nothing_fails_with_the_reason_after_the_report(
    kfp: FakeKfp, submit: Submit, tmp_path: Path
) -> None:
    submission = submit(root="s3://models/fusion")
    error = "the model was not published: digit.accuracy: 0.3 is below 0.9"
    content = page("not published", error)
    run_id = reported(kfp, submission, content, "s3")
    with pytest.raises(RunError) as caught:
        submission.follow(tmp_path / "here.html")
    assert str(caught.value) == f"{error}\nrun: {submission._server.run_url(run_id)}"
    assert (tmp_path / "here.html").read_bytes() == content


@pytest.mark.parametrize("interface", [True, False])
def test_the_place_of_a_report_that_cannot_be_downloaded_is_printed(
    kfp: FakeKfp, submit: Submit, printed: StringIO, tmp_path: Path, interface: bool
) -> None:
    kfp.script, kfp.interface = ALL_DONE, interface
    submission = submit(root="s3://models")
    run_id = started(submission)
    submission.follow(tmp_path / "here.html")
    place = f"report s3://models/colours/{run_id}/Report/report.html (not downloaded: "
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
