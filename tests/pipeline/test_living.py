"""A run that goes on is known as such by all, and what killed runs left is taken away."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import HOST
from tfx_fusion.modules.report.record import RUN_FILE, RUNNING_FILE, RunRecord, StepRecord
from tfx_fusion.pipeline.living import RESERVE_FILE, alone, living, remove_leftovers
from tfx_fusion.pipeline.prepare import Workplace

FORK = multiprocessing.get_context("fork")
RECORD = RunRecord(
    name="colours",
    steps=[
        StepRecord(name="Rows", component="Rows", status="done"),
        StepRecord(name="Train", component="Train", status="running"),
    ],
)


@pytest.fixture
def place(tmp_path: Path) -> Workplace:
    return Workplace.of(tmp_path / "fusion.yaml")


def run_until_killed(place: Workplace, name: str, reached: object) -> None:
    """A run that has a temporary folder, and is writing a file."""
    folder = place.folder / name
    folder.mkdir(parents=True)
    with alone(place.folder), living(folder):
        RECORD.write(folder)
        (folder / f".{HOST}-{os.getpid()}-0123abcd.tmp.json").write_text("half")
        Path(tempfile.mkdtemp(), "model").write_text("large")
        reached.set()  # type: ignore[attr-defined]
        FORK.Event().wait(60)


def start(place: Workplace, name: str) -> multiprocessing.context.ForkProcess:
    reached = FORK.Event()
    process = FORK.Process(target=run_until_killed, args=(place, name, reached))
    process.start()
    assert reached.wait(60)
    return process


def test_a_run_whose_process_was_killed_is_read_as_interrupted(place: Workplace) -> None:
    process = start(place, "one")
    folder = place.folder / "one"
    try:
        assert RunRecord.read(folder) == RECORD
        with pytest.raises(RunError, match="another run is going on"), alone(place.folder):
            pass
    finally:
        process.kill()
        process.join()

    found = RunRecord.read(folder)
    assert (found.status, found.error) == ("interrupted", "interrupted: its process was killed")
    assert [step.status for step in found.steps] == ["done", "interrupted"]
    assert RunRecord.parse((folder / RUN_FILE).read_text()).status == "running"
    remove_leftovers(place)


def test_the_next_run_takes_away_what_killed_runs_left_and_nothing_of_living_ones(
    place: Workplace,
) -> None:
    killed = start(place, "killed")
    killed.kill()
    killed.join()
    lost = Path((place.folder / "killed" / RUNNING_FILE).read_text())
    assert list(lost.rglob("model"))
    going_on = start(place, "going on")
    try:
        before = sorted((place.folder / "going on").iterdir())
        temporary = Path((place.folder / "going on" / RUNNING_FILE).read_text())

        remove_leftovers(place)

        assert [path.name for path in (place.folder / "killed").iterdir()] == [RUN_FILE]
        text = (place.folder / "killed" / RUN_FILE).read_text()
        assert RunRecord.parse(text).status == "interrupted"
        assert not lost.exists()
        assert sorted((place.folder / "going on").iterdir()) == before
        assert list(temporary.rglob("model"))
    finally:
        going_on.kill()
        going_on.join()
        remove_leftovers(place)
    assert not temporary.exists()


def test_a_run_has_its_temporary_files_in_one_folder_and_room_for_its_record(
    place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(place.folder.parent))
    monkeypatch.setattr(tempfile, "tempdir", None)
    (place.folder / "one").mkdir(parents=True)
    with living(place.folder / "one"):
        temporary = Path(tempfile.mkdtemp())
        assert Path(os.environ["TMPDIR"]) == temporary.parent
        assert temporary.parent.parent == place.folder.parent
        assert (place.folder / "one" / RESERVE_FILE).stat().st_size == 1 << 20

    assert not temporary.exists()
    assert list((place.folder / "one").iterdir()) == []
    assert os.environ["TMPDIR"] == str(place.folder.parent)
