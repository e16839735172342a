"""The Python API: what the commands do, for programs and notebooks. `tfx_fusion` exports it.

Each function takes a specification as its file or as it was built in Python, whose paths are
relative to the working folder. A user's mistake raises SpecificationError or RunError, which a
notebook shows without a traceback.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.pipeline.calls import Event, Request, call
from tfx_fusion.pipeline.check import Checked
from tfx_fusion.pipeline.consoles import wide_console
from tfx_fusion.pipeline.failure import readable_errors
from tfx_fusion.pipeline.notebook import LiveSteps, in_notebook
from tfx_fusion.pipeline.prepare import Source, Workplace
from tfx_fusion.pipeline.published import Published, open_published
from tfx_fusion.pipeline.runs import Run, read_runs
from tfx_fusion.pipeline.steps import Step, StepTable, StepView

# A specification, or the path of its file.
Given = Specification | str | Path


@readable_errors()
def load(path: str | Path) -> Specification:
    """The specification in a YAML file; relative paths in it are from the file's folder.

    Example:
        >>> specification = tfx_fusion.load("fusion.yaml")
        >>> list(specification.submodels)
        ['vision', 'text']
        >>> faster = specification.training.changed(batch_size=64)
        >>> specification = specification.changed(training=faster)

    Raises SpecificationError with every problem of its single parts; `validate` finds the others.
    """
    return load_specification(Path(path))


@readable_errors()
def validate(specification: Given, folder: str | Path | None = None) -> Checked:
    """Checks a whole specification, as `fusion validate` does; no model is loaded for it.

    Args:
        specification: the specification or its file.
        folder: the folder of its runs, as in `run`.

    Example:
        >>> checked = tfx_fusion.validate("fusion.yaml")
        >>> checked
        <Checked colours: 8 nodes, 115 trainable and 201 frozen parameters>
        >>> checked.nodes[-1].output
        '(3) float32'

    Raises SpecificationError with every problem, RunError where the data file cannot be read.
    """
    source, place = _resolved(specification, folder)
    ended = call(Request.of("check", source, place.folder), on_line=print)
    return Checked.model_validate(ended["checked"])


@readable_errors()
def run(
    specification: Given,
    folder: str | Path | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> Run:
    """Runs every step up to the published model, as `fusion run` does, and prints its lines.

    A notebook shows the steps as a table while they run. What the libraries write goes into the
    log of the run. The run has a process of its own, so it changes nothing in this one.

    Args:
        specification: the specification or its file.
        folder: the folder of its runs; unless given, `runs` beside the file, or in the working
            folder for a specification that was built in Python. Steps whose inputs did not change
            are reused from earlier runs there.
        on_step: called with a step whenever it has changed. What it raises ends the run.

    Example:
        >>> run = tfx_fusion.run("fusion.yaml", on_step=lambda step: seen.append(step.name))
        checking fusion.yaml
        ...
        >>> run.status, run.published.parent.name, run.rejected.rows
        ('published', 'serving', 0)
        >>> run.metrics["colour"]["accuracy"] > 0.2
        True

    Raises SpecificationError where the specification is invalid, RunError where a step failed or
    the model was not published: `error.run` is that run, `error.run.log` its log.
    """
    source, place = _resolved(specification, folder)
    with ExitStack() as shown:
        progress = _Progress(on_step, shown)
        request = Request.of("run", source, place.folder)
        try:
            ended = call(request, print, progress.take, progress.tick)
        except RunError as error:
            with suppress(RunError):  # where its disk was too full for a record
                error.run = Run.read(progress.folder) if progress.folder else None
            raise
    return Run.read(Path(ended["folder"]))


@readable_errors()
def runs(folder: str | Path = "runs") -> list[Run]:
    """The runs in a folder of runs, the newest last; warns of each that cannot be read.

    Example:
        >>> [run.status for run in tfx_fusion.runs("runs")]
        ['published']

    Raises RunError where it is no folder of runs.
    """
    return read_runs(Path(folder))


@readable_errors()
def open(path: str | Path) -> Published:
    """A published model: to predict, and to see its versions and what each was made from.

    Args:
        path: a publish folder, one of its versions, or the file of its specification.

    Example:
        >>> model = tfx_fusion.open("serving")
        >>> row = {"image_path": "data/images/0.png", "transcript": "very red"}
        >>> prediction = model.predict([row])[0]
        >>> list(prediction.outputs["colour"])
        ['red', 'green', 'blue']
        >>> [version.status for version in model.versions]
        ['served']

    Raises RunError where nothing has been published there.
    """
    return open_published(Path(path))


def _resolved(specification: Given, folder: str | Path | None) -> tuple[Source, Workplace]:
    source = Path(specification) if isinstance(specification, str) else specification
    return source, Workplace(Path(folder).resolve()) if folder else Workplace.of(source)


class _Progress:
    """Shows the steps of a run that goes on in another process, and hands their changes on."""

    def __init__(self, on_step: Callable[[Step], None] | None, shown: ExitStack) -> None:
        self.folder: Path | None = None
        self._on_step, self._shown = on_step, shown
        self._steps: dict[str, Step] = {}
        self._view: StepView | None = None

    def take(self, event: Event) -> None:
        """Takes what the other process has sent."""
        if "steps" in event:
            self.folder = Path(event["steps"]["folder"])
            found = map(Step.model_validate, event["steps"]["steps"])
            self._steps = {step.name: step for step in found}
            view: StepView = StepTable(wide_console(), self._steps)
            if in_notebook():
                view = LiveSteps(self._steps)
            self._view = self._shown.enter_context(view)
        elif "step" in event and self._view:
            step = Step.model_validate({**event["step"]["record"], "note": event["step"]["note"]})
            before = self._steps[step.name]
            step.started = before.started if before.status == "running" else time.monotonic()
            self._steps[step.name] = step
            self._view.changed(step)
            if self._on_step:
                self._on_step(step)
        elif "shown" in event:
            self._view = None
            self._shown.close()
        elif "ended" in event and "folder" in event["ended"]:
            self.folder = Path(event["ended"]["folder"])

    def tick(self) -> None:
        """A second has passed."""
        if isinstance(self._view, LiveSteps):
            self._view.show()
