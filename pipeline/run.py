"""A run of a specification, from the file to the published model."""

from __future__ import annotations

import fcntl
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import RejectedRowsError, RunError, SpecificationError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.registry.versions import check_publish_folder
from tfx_fusion.pipeline.beam import choose, in_words, size_to_choose_by
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.failure import cause_of
from tfx_fusion.pipeline.prepare import Prepared, Workplace, check_writable, prepare
from tfx_fusion.pipeline.quiet import log_everything, output_to
from tfx_fusion.pipeline.record import RunRecord
from tfx_fusion.pipeline.report import report_on

if TYPE_CHECKING:  # it imports Keras
    from tfx_fusion.modules.embedding.plan import StagePlan


# What is done inside a run: all that needs TensorFlow, and tells its progress on the terminal.
Action = Callable[[Prepared, Workplace, RunRecord, Console], None]


def run(specification_file: Path, console: Console) -> RunRecord:
    """Runs every stage, telling how it goes; the record says what came of it.

    Raises SpecificationError before anything starts, RunError where the run failed or its model
    was not published. The libraries' messages are in the run's log.
    """
    return recorded(specification_file, console, _train_and_publish)


def recorded(specification_file: Path, console: Console, action: Action) -> RunRecord:
    """Does something with a specification as a run: checked, alone, with a log and a record.

    The action sets the record's status. Raises SpecificationError before anything starts, RunError
    where the action fails or leaves an error in the record.
    """
    console.print(f"checking {specification_file}", highlight=False)
    prepared = prepare(specification_file, lambda text: console.print(text, highlight=False))
    specification = prepared.specification
    place = Workplace.of(specification_file)
    check_writable(place.folder, "the folder of the runs")
    check_writable(specification.publish.path, "publish.path")
    check_publish_folder(specification.publish.path)
    with prepared.locating():
        RowSource.of(specification).check_columns()
    with _one_at_a_time(place.folder):
        record = RunRecord.start(place.folder, specification.name, specification_file.resolve())
        console.print(f"run {record.folder}", highlight=False, soft_wrap=True)
        console.print(f"log {record.log}", highlight=False, soft_wrap=True)
        with output_to(record.log) as stream:
            terminal = wide_console(stream, console.is_terminal or None)
            try:
                action(prepared, place, record, terminal)
            except BaseException as error:
                record.status = "failed"
                record.error = cause_of(error)
                _keep_rejected(record, error)
                traceback.print_exc()  # goes to the log
                wrong = isinstance(error, SpecificationError) and not record.stages
                if wrong or not isinstance(error, Exception):
                    raise
            finally:
                record.write()
            if record.provenance.is_file():
                report_on(record, terminal)
    if record.error is not None:
        where = [stage.name for stage in record.stages.values() if stage.status == "failed"]
        at = f"stage {where[0]} failed: " if where else ""
        raise RunError(f"{at}{record.error}\nlog: {record.log}")
    return record


def _keep_rejected(record: RunRecord, error: BaseException) -> None:
    """Keeps the rejected rows that an error carries, since TFX has removed the stage's own."""
    if isinstance(error, RejectedRowsError) and error.rejected:
        from tfx_fusion.modules.data.write import write_rejected

        record.rejected = len(error.rejected)
        record.rejected_file = write_rejected(str(record.folder), error.rejected)
        record.error = f"{record.error}. Rejected rows with their reasons: {record.rejected_file}"


@contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RunError(
                f"another run is going on in {folder}: wait until it has ended"
            ) from None
        yield


def run_stages(
    prepared: Prepared, place: Workplace, record: RunRecord, terminal: Console, train: bool
) -> list[StagePlan]:
    """Runs the stages of a specification, up to what training reads or to the end.

    Returns what each stage of training learns from.
    """
    specification = prepared.specification
    with terminal.status("importing TensorFlow, Beam and TFX"):
        # TFX takes ten seconds to import, so it is imported when all else is known to be sound.
        from tfx_fusion.components import results
        from tfx_fusion.modules.registry.champion import champion_state
        from tfx_fusion.pipeline.beam_options import check_options
        from tfx_fusion.pipeline.live import StageTable
        from tfx_fusion.pipeline.pipeline import Seen, create_pipeline, create_stages
        from tfx_fusion.pipeline.stages import Stage, StageRun

        log_everything()
    check_options(specification.beam)
    plans = stage_plans(prepared)
    content = fingerprint(specification.data.path, specification.features)
    choices = choose(specification, size_to_choose_by(specification))
    for line in in_words(choices):
        terminal.print(line, highlight=False, soft_wrap=True, markup=False)
    origin = Provenance.of(specification, prepared.inspections, content, record.folder.name)
    if train:
        write_text(record.provenance, origin.model_dump_json(indent=1) + "\n")
    stages = create_stages(
        specification,
        origin,
        prepared.inspections,
        plans,
        Seen(content, champion_state(specification.publish.path)),
        str(place.checkpoints),
        train,
        choices,
    )
    pipeline = create_pipeline(specification.name, stages, place)

    def changed(stage: Stage) -> None:
        if stage.status in ("done", "reused"):
            stage.note = results.made(stage)
        table.changed(stage)
        if stage.status != "running":
            record.write()

    stage_run = StageRun(pipeline, changed)
    record.stages = stage_run.stages
    with StageTable(terminal, stage_run.stages) as table:
        stage_run.run()
    record.rejected, record.rejected_file = results.rejected(record.stages)
    return plans


def stage_plans(prepared: Prepared) -> list[StagePlan]:
    """What each stage of training learns from; the whole specification is validated on the way."""
    from tfx_fusion.modules.embedding.plan import plan_stages
    from tfx_fusion.modules.validation.validate import validate

    with prepared.locating():
        fused = validate(prepared.specification, prepared.interfaces)
    return plan_stages(prepared.specification, fused)


def _train_and_publish(
    prepared: Prepared, place: Workplace, record: RunRecord, terminal: Console
) -> None:
    run_stages(prepared, place, record, terminal, train=True)
    from tfx_fusion.components import results
    from tfx_fusion.modules.evaluation.quality import read_quality
    from tfx_fusion.pipeline.quality_table import quality_table

    record.training_record = results.training_record(record.stages)
    quality = read_quality(Path(results.artifact(record.stages, "evaluation").uri))
    record.metrics, record.quality = quality.overall(), quality.model_dump(mode="json")
    terminal.print(quality_table(quality))
    for told in quality.skipped:
        terminal.print(told, highlight=False, soft_wrap=True, markup=False)
    record.published, record.error = results.verdict(record.stages, quality)
    record.status = "published" if record.published else "not published"
