"""The page that a run leaves: written when it ends, and again by `fusion report`."""

import logging
from pathlib import Path

from rich.console import Console

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.report.finished import PROVENANCE_FILE
from tfx_fusion.modules.report.record import RUN_FILE, RunRecord
from tfx_fusion.pipeline.consoles import print_line
from tfx_fusion.pipeline.failure import cause_of
from tfx_fusion.pipeline.prepare import Workplace

log = logging.getLogger(__name__)


def report_on(record: RunRecord, folder: Path, console: Console) -> None:
    """Writes the page of a run that has ended into its folder, and prints where it is.

    A failure here is printed, and changes nothing of what the run did.
    """
    try:
        record.report = str(print_report(folder, console))
        record.write(folder)
    except Exception as error:
        log.exception("the report of %s", folder)
        print_line(console, f"no report could be written: {cause_of(error)}", "red")


def print_report(folder: Path, console: Console) -> Path:
    """Writes the page of the run in a folder, and prints where it is and what it lacks."""
    from tfx_fusion.modules.report.page import write_report  # it imports TensorFlow

    written = write_report(folder)
    print_line(console, f"report {written.path}")
    for section in written.lacking:
        print_line(console, f"the report lacks {section}", "red")
    return written.path


def find_run(specification_file: Path, name: str | None) -> Path:
    """The folder of a run of a specification by its name; the newest unless given.

    Raises RunError where there is none that can be reported on.
    """
    wanted = specification_file.resolve()
    runs = {
        file.parent.name: file.parent
        for file in sorted(Workplace.of(wanted).folder.glob(f"*/{RUN_FILE}"))
        if (file.parent / PROVENANCE_FILE).is_file() and _is_of(file.parent, wanted)
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


def _is_of(folder: Path, specification_file: Path) -> bool:
    try:
        return RunRecord.read(folder).specification == str(specification_file)
    except RunError:  # of an older version of this project, or damaged
        return False
