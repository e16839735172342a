"""A run while it goes on, and what runs that were killed have left.

A run holds the lock of a file in its folder, which the system releases however the run ends. The
file holds the path of the folder for temporary files of the run and of all its processes.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import hold, is_held, remove_unfinished
from tfx_fusion.modules.report.record import RUNNING_FILE, RunRecord
from tfx_fusion.pipeline.prepare import Workplace

TEMPORARY_PREFIX = "fusion-run-"
LOCK_FILE = ".lock"
RESERVE_FILE = ".reserve"
RESERVE_BYTES = 1 << 20


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Only one run at a time in a folder of runs; raises RunError while another goes on."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        try:
            stack.enter_context(hold(folder / LOCK_FILE, wait=False))
        except BlockingIOError:
            raise RunError(
                f"another run is going on in {folder}: wait until it has ended"
            ) from None
        yield


@contextmanager
def living(folder: Path) -> Iterator[None]:
    """Marks a run as going on, with a folder for temporary files and room for its record.

    The room is given back by `release_reserve`, where the disk is full.
    """
    temporary = tempfile.mkdtemp(prefix=TEMPORARY_PREFIX)
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    try:
        with hold(folder / RUNNING_FILE) as file:
            file.write(temporary)
            file.flush()
            with (folder / RESERVE_FILE).open("wb") as reserve:
                os.posix_fallocate(reserve.fileno(), 0, RESERVE_BYTES)
            os.environ["TMPDIR"] = tempfile.tempdir = temporary
            yield
    finally:
        tempfile.tempdir = before[1]
        os.environ.pop("TMPDIR", None)
        if before[0] is not None:
            os.environ["TMPDIR"] = before[0]
        _remove_marks(folder, temporary)


def release_reserve(folder: Path) -> None:
    """Frees the room for the record."""
    (folder / RESERVE_FILE).unlink(missing_ok=True)


def remove_leftovers(place: Workplace) -> None:
    """Removes what killed runs left, and marks their records; only while no run goes on there.

    Their records and logs stay, for who asks what happened.
    """
    for mark in place.folder.glob(f"*/{RUNNING_FILE}"):
        folder = mark.parent
        if is_held(mark):
            continue
        try:
            record = RunRecord.read(folder)
            record.write(folder)  # read as interrupted
        except RunError:
            pass  # killed before its record, or damaged; nobody takes it for running
        _remove_marks(folder, mark.read_text())
    remove_unfinished(place.folder)


def _remove_marks(folder: Path, temporary: str) -> None:
    if Path(temporary).name.startswith(TEMPORARY_PREFIX):
        shutil.rmtree(temporary, ignore_errors=True)
    release_reserve(folder)
    (folder / RUNNING_FILE).unlink(missing_ok=True)
