"""The page that a run leaves: written when it ends, and again when asked for."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from rich.console import Console

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.report.finished import PROVENANCE_FILE, RUN_FILE
from tfx_fusion.pipeline.failure import cause_of
from tfx_fusion.pipeline.prepare import Workplace
from tfx_fusion.pipeline.record import RunRecord

log = logging.getLogger(__name__)


def report_on(record: RunRecord, console: Console) -> None:
    """Writes the page of a run that has ended, and tells where it is.

    What goes wrong here is told, and changes nothing of what the run came to.
    """
    try:
        record.report = str(tell_report(record.folder, console))
        record.write()
    except Exception as error:
        log.exception("the report of %s", record.folder)
        console.print(
            f"no report could be written: {cause_of(error)}",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip


def tell_report(folder: Path, console: Console) -> Path:
    """Writes the page of the run in a folder and prints where it is, and what it lacks."""
    from tfx_fusion.modules.report.page import write_report

    written = write_report(folder)
    console.print(f"report {written.path}", highlight=False, soft_wrap=True, markup=False)
    for told in written.lacking:
        console.print(
            f"the report lacks {told}",
            style="red", markup=False, highlight=False, soft_wrap=True,
        )  # fmt: skip
    return written.path


def find_run(specification_file: Path, name: str | None) -> Path:
    """The folder of a run of a specification by its name; the newest unless given.

    Raises RunError where there is none that can be reported on.
    """
    wanted = specification_file.resolve()
    runs = {
        file.parent.name: file.parent
        for file in sorted(Workplace.of(wanted).folder.glob(f"*/{RUN_FILE}"))
        if json.loads(file.read_text())["specification"] == str(wanted)
        and (file.parent / PROVENANCE_FILE).is_file()
    }
    if not runs:
        raise RunError(
            f"{specification_file} has no run to report on: `fusion run {specification_file}` "
            "makes one"
        )
    if name is None:
        return max(runs.values(), key=lambda folder: (folder / RUN_FILE).stat().st_mtime_ns)
    if name not in runs:
        raise RunError(f"{specification_file} has no run '{name}'; {suggestion(name, runs)}")
    return runs[name]
