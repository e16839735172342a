"""A run of a specification, from the file to the published model."""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import (
    RejectedRowsError,
    RunError,
    SpecificationError,
    user_error,
)
from tfx_fusion.modules.files import remove_unfinished, write_text
from tfx_fusion.modules.registry.changes import clean_up
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.registry.versions import check_publish_folder
from tfx_fusion.modules.report.finished import PROVENANCE_FILE
from tfx_fusion.modules.report.record import RUN_FILE, RunRecord
from tfx_fusion.pipeline import ending
from tfx_fusion.pipeline.beam import check_options, choose, in_words, size_to_choose_by
from tfx_fusion.pipeline.consoles import (
    damage_on,
    print_line,
    quality_table,
    wide_console,
    working,
)
from tfx_fusion.pipeline.failure import cause_of
from tfx_fusion.pipeline.living import alone, living, release_reserve, remove_leftovers
from tfx_fusion.pipeline.prepare import Prepared, Source, Workplace, check_writable, prepare
from tfx_fusion.pipeline.quiet import log_everything, output_to
from tfx_fusion.pipeline.report import report_on
from tfx_fusion.pipeline.runs import Run
from tfx_fusion.pipeline.steps import Step, StepTable, StepView

if TYPE_CHECKING:  # it imports Keras
    from tfx_fusion.modules.embedding.plan import StagePlan


@dataclass(frozen=True)
class OngoingRun:
    """A run that goes on: what was checked, where it writes, its record and its terminal."""

    prepared: Prepared
    place: Workplace
    folder: Path
    record: RunRecord
    terminal: Console


# What is done inside a run: all that needs TensorFlow, and prints its progress on the terminal.
Action = Callable[[OngoingRun], None]
# What shows the steps of a run.
Show = Callable[[OngoingRun, Mapping[str, Step]], StepView]


def show_table(current: OngoingRun, steps: Mapping[str, Step]) -> StepView:
    """The steps on the run's terminal."""
    return StepTable(current.terminal, steps)


def run(
    source: Source, console: Console, place: Workplace | None = None, show: Show = show_table
) -> Run:
    """Runs every step, printing its progress; the record says what came of it.

    Args:
        source: the specification or its file.
        console: where lines for the user go.
        place: the folder of runs; that of the specification unless given.
        show: what shows the steps.

    Raises SpecificationError before anything starts, RunError where the run failed or its model
    was not published. The libraries' messages are in the run's log.
    """

    def train_and_publish(current: OngoingRun) -> None:
        run_steps(current, train=True, show=show)
        _conclude(current)

    return recorded(source, console, train_and_publish, place)


def recorded(
    source: Source, console: Console, action: Action, place: Workplace | None = None
) -> Run:
    """Does something with a specification as a run: checked, with a lock, a log and a record.

    The action sets the record's status. Raises SpecificationError before anything starts, RunError
    where the action fails or leaves an error in the record.
    """
    place = place or Workplace.of(source)
    file = source if isinstance(source, Path) else None
    console.print(f"checking {file or 'the specification'}", highlight=False)
    prepared = prepare(source, lambda text: console.print(text, highlight=False), place)
    specification = prepared.specification
    check_writable(place.folder, "the folder of the runs")
    check_writable(specification.publish.path, "publish.path")
    check_publish_folder(specification.publish.path)
    with prepared.locating():
        RowSource.of(specification).check_columns()
    with alone(place.folder):
        remove_leftovers(place)
        clean_up(specification.publish.path)
        folder = _new_folder(place.folder)
        log = folder / "run.log"
        record = RunRecord(
            name=specification.name,
            specification=str(file.resolve()) if file else None,
            log=str(log),
        )
        print_line(console, f"run {folder}")
        print_line(console, f"log {log}")
        with living(folder), output_to(log) as stream:
            record.write(folder)
            terminal = wide_console(stream, console.is_terminal or None)
            current = OngoingRun(prepared, place, folder, record, terminal)
            try:
                with damage_on(terminal):
                    action(current)
            except BaseException as error:
                release_reserve(folder)
                with suppress(OSError):
                    traceback.print_exc()  # goes to the log
                if isinstance(error, KeyboardInterrupt) or ending.received():
                    raise _interrupted(current) from error
                record.status, record.error = "failed", cause_of(error)
                _keep_rejected(current, error)
                invalid = isinstance(error, SpecificationError) and not record.steps
                if invalid or not isinstance(error, Exception):
                    raise
            finally:
                _write_record(current)
            if (folder / PROVENANCE_FILE).is_file():  # written once the steps start
                report_on(record, folder, terminal)
    if record.error is not None:
        failed = [step.name for step in record.steps if step.status == "failed"]
        at = f"step {failed[0]} failed: " if failed else ""
        failure = RunError(f"{at}{record.error}\nlog: {log}")
        failure.run = Run(folder, record)
        raise failure
    return Run(folder, record)


def _interrupted(current: OngoingRun) -> ending.Interrupted:
    """Marks the run as interrupted, and removes what its unfinished step has written."""
    number = ending.received() or signal.SIGINT
    current.record.interrupt(number.name)
    if current.record.steps:  # so TFX is imported
        from tfx_fusion.pipeline.metadata import cancel_unfinished

        cancel_unfinished(current.place)
    remove_unfinished(current.place.folder)
    error = ending.Interrupted(number.name)
    error.message = (
        f"the same command goes on with the steps that are not finished\nlog: {current.record.log}"
    )
    return error


def _write_record(current: OngoingRun) -> None:
    """Writes the record of a run that has ended, as far as the disk lets it."""
    try:
        current.record.write(current.folder)
    except OSError as error:
        file = current.folder / RUN_FILE
        print_line(current.terminal, f"{file} could not be written: {cause_of(error)}", "red")


def _new_folder(runs: Path) -> Path:
    """A folder for a run, named by the time."""
    stem = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = runs / stem
    tries = 1
    while folder.exists():
        tries += 1
        folder = runs / f"{stem}-{tries}"
    folder.mkdir(parents=True)
    return folder


def _keep_rejected(current: OngoingRun, error: BaseException) -> None:
    """Keeps the rejected rows that an error carries, since TFX has removed the step's own."""
    found = user_error(error)
    if isinstance(found, RejectedRowsError) and found.rejected:
        from tfx_fusion.modules.data.rejected import write_rejected

        file = write_rejected(str(current.folder), found.rejected)
        current.record.count_rejected(len(found.rejected), file)
        current.record.error = f"{current.record.error}. Rejected rows with their reasons: {file}"


def run_steps(current: OngoingRun, train: bool, show: Show = show_table) -> list[StagePlan]:
    """Runs the steps of a specification, up to what training reads or to the end.

    Returns what each stage of training learns from.
    """
    specification, record = current.prepared.specification, current.record
    with working(current.terminal, "importing TensorFlow, Beam and TFX"):
        # TFX takes ten seconds to import, so it is imported when all else is known to be valid.
        from tfx_fusion.components.champion_resolver.executor import current_state
        from tfx_fusion.pipeline.local_runner import StepRun
        from tfx_fusion.pipeline.metadata import cancel_unfinished, check_metadata
        from tfx_fusion.pipeline.pipeline import Seen, create_pipeline, create_steps

        log_everything()
    check_options(specification.beam)
    plans = stage_plans(current.prepared)
    content = fingerprint(specification.data.path, specification.features)
    choices = choose(specification, size_to_choose_by(specification))
    for line in in_words(choices):
        print_line(current.terminal, line)
    inspections = current.prepared.inspections
    origin = Provenance.of(specification, inspections, content, current.folder.name)
    if train:
        write_text(current.folder / PROVENANCE_FILE, origin.model_dump_json(indent=1) + "\n")
    nodes = create_steps(
        specification,
        origin,
        inspections,
        plans,
        Seen(content, current_state(specification.publish.path)),
        str(current.place.checkpoints),
        train,
        choices,
    )

    def changed(step: Step) -> None:
        view.changed(step)
        if step.status != "running" or not step.note:
            with suppress(OSError):  # a full disk fails the step, which is reported then
                record.write(current.folder)

    step_run = StepRun(create_pipeline(specification.name, nodes, current.place), changed)
    check_metadata(current.place)
    cancel_unfinished(current.place)
    record.steps = list(step_run.steps.values())
    with show(current, step_run.steps) as view:
        step_run.run()
    record.count_rejected()
    return plans


def stage_plans(prepared: Prepared) -> list[StagePlan]:
    """What each stage of training learns from; the whole specification is validated on the way."""
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.validation.validate import validate

    with prepared.locating():
        fused = validate(prepared.specification, prepared.interfaces)
    return plan_stages(prepared.specification, fused)


def _conclude(current: OngoingRun) -> None:
    """Records and prints what came of a run whose steps all ended well."""
    current.record.conclude()
    quality = current.record.quality
    if quality:
        current.terminal.print(quality_table(quality))
        for skipped in quality.skipped:
            print_line(current.terminal, skipped)
        for warning in quality.warnings:
            print_line(current.terminal, f"Warning: {warning}")
