"""Which run is reported on, and a run whose report fails."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.version_record import DataSource, Provenance
from tfx_fusion.modules.report.record import RunRecord
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.pipeline.commands.report import report
from tfx_fusion.pipeline.report import find_run, report_on


@pytest.fixture
def file(world: Path) -> Path:
    return world / "fusion.yaml"


def make_run(file: Path, name: str, age: int = 0, reportable: bool = True) -> Path:
    """The folder of a run that failed before its first step had ended, some seconds ago."""
    folder = file.parent / "runs" / name
    folder.mkdir(parents=True)
    stopped = {"status": "failed", "error": "it was stopped"}
    RunRecord(name="colours", specification=str(file), **stopped).write(folder)
    record = folder / "run.json"
    changed = record.stat().st_mtime - age
    os.utime(record, (changed, changed))
    if reportable:
        provenance = Provenance(
            run=name,
            specification=load_specification(file).model_dump(mode="json"),
            data=DataSource(path="rows.csv", fingerprint="f"),
            submodels={},
        )
        (folder / "provenance.json").write_text(provenance.model_dump_json())
    return folder


def test_the_newest_run_of_the_file_is_taken_unless_one_is_named(file: Path) -> None:
    old = make_run(file, "20260101-000000-2", age=60)
    new = make_run(file, "20260101-000000-10", age=30)
    make_run(file, "20260101-000001", reportable=False)  # of `fusion tune`, say
    other = file.with_name("other.yaml")
    other.write_text(file.read_text())
    make_run(other, "20260101-000002")
    (make_run(file, "20260101-000003") / "run.json").write_text('{"stages": []}')  # an older one
    assert find_run(file, None) == new
    assert find_run(file, old.name) == old
    with pytest.raises(RunError, match="has no run '20260101-000002'; did you mean"):
        find_run(file, "20260101-000002")


def test_without_a_run_the_message_says_how_to_make_one(file: Path) -> None:
    with pytest.raises(RunError, match=r"no run to report on: `fusion run .*fusion.yaml` makes"):
        find_run(file, None)


def test_the_command_writes_the_page_and_opens_it_where_asked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    page = make_run(file, "20260101-000000") / "report.html"

    plain = CliRunner().invoke(report, [str(file)])
    assert (plain.exit_code, plain.stdout, opened) == (0, f"report {page}\n", [])
    assert "it was stopped" in page.read_text()

    page.write_text("")
    assert CliRunner().invoke(report, [str(file), "20260101-000000", "--open"]).exit_code == 0
    assert opened == [page.as_uri()]
    assert "it was stopped" in page.read_text()


def test_a_run_remembers_its_report(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_run(file, "20260101-000000")
    report_on(RunRecord.read(folder), folder, Console(width=500))
    page = folder / "report.html"
    assert capsys.readouterr().out == f"report {page}\n"
    assert RunRecord.read(folder).report == str(page)


def test_a_report_that_fails_leaves_the_run_as_it_was(
    file: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_run(file, "20260101-000000")
    record = RunRecord.read(folder)
    record.status, record.published = "published", "/serving/1"
    (folder / "provenance.json").write_text("{")
    report_on(record, folder, Console(width=500))
    [line] = capsys.readouterr().out.splitlines()
    expected = "expected a whole provenance.json, found "
    assert line.startswith(f"no report could be written: {folder}: {expected}")
    assert "Traceback" in caplog.text
    assert (record.status, record.published, record.report) == ("published", "/serving/1", None)
