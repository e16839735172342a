"""`run.json`: what a run did, wherever it ran. `fusion schema run` prints its JSON schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.quality import Quality, read_quality
from tfx_fusion.modules.files import is_held, write_text
from tfx_fusion.modules.report.summaries import (
    EmbeddingsSummary,
    Metrics,
    PublishSummary,
    RowsSummary,
    ServingSummary,
    StepSummary,
    Summary,
    TrainingSummary,
)

RUN_FILE = "run.json"
RUNNING_FILE = ".running"  # its lock is held while a run goes on

Kind = TypeVar("Kind", bound=Summary)
Reject = TypeVar("Reject", RowsSummary, EmbeddingsSummary, TrainingSummary)
Status = Literal["waiting", "running", "done", "reused", "failed", "interrupted"]


class StepRecord(BaseModel):
    """One step of a run. Its seconds are None where the step itself cannot know them."""

    name: str
    component: str
    status: Status = "waiting"
    seconds: float | None = None
    seconds_saved: float | None = None  # how long a reused step took when it was done
    summary: StepSummary | None = None
    outputs: dict[str, str] = {}  # the place of each


class RejectedRows(BaseModel):
    """How many rows were rejected by all steps, and the files that list them with their reasons."""

    rows: int = 0
    files: tuple[str, ...] = ()


class RunRecord(BaseModel):
    """One run of a specification. What it did not reach is None, or empty.

    On a cluster, `specification` and `log` are None: the pipeline was compiled elsewhere, and each
    step has a log of its own. So is `specification` where it was built in Python.
    """

    model_config = ConfigDict(extra="forbid")

    name: str
    status: Literal["running", "published", "not published", "tuned", "failed", "interrupted"] = (
        "running"
    )
    specification: str | None = None  # the file
    log: str | None = None  # the file
    steps: list[StepRecord] = []
    metrics: Metrics = {}
    quality: Quality | None = None
    published: str | None = None  # the folder of the version
    training_record: str | None = None  # the file
    rejected: RejectedRows = RejectedRows()
    error: str | None = None
    report: str | None = None  # the file

    @classmethod
    def read(cls, folder: Path) -> RunRecord:
        """The record in a run's folder; raises RunError where it is damaged or an older one.

        A run whose process has ended without a word, killed or for want of power, is interrupted.
        """
        try:
            record = cls.parse((folder / RUN_FILE).read_bytes())
            if record.status == "running" and not is_held(folder / RUNNING_FILE):
                # Again: it may have ended well between the two looks.
                record = cls.parse((folder / RUN_FILE).read_bytes())
                record.interrupt("its process was killed")
            return record
        except (OSError, ValueError) as error:
            raise RunError(
                f"{folder}: expected a whole {RUN_FILE}, found {_reason(error)}; run again"
            ) from None

    @classmethod
    def parse(cls, text: str | bytes) -> RunRecord:
        """The record of a `run.json`; raises pydantic's ValidationError where it is none."""
        return cls.model_validate_json(text)

    def interrupt(self, reason: str) -> None:
        """Marks a run that has not ended as interrupted, and the step that it was in."""
        if self.status == "running":
            self.status, self.error = "interrupted", f"interrupted: {reason}"
            for step in self.steps:
                if step.status == "running":
                    step.status = "interrupted"

    def write(self, folder: Path) -> None:
        """Writes `run.json` into the run's folder, whole or not at all."""
        write_text(folder / RUN_FILE, self.model_dump_json(indent=1) + "\n")

    def output(self, key: str) -> Path | None:
        """The place of the first step's output under a key; None where no step has one."""
        return next(self.outputs(key), None)

    def outputs(self, key: str) -> Iterator[Path]:
        """The places of all steps' outputs under a key."""
        return (Path(step.outputs[key]) for step in self.steps if key in step.outputs)

    def summary(self, kind: type[Kind]) -> Kind | None:
        """The first step's summary of a kind; None where no step that ended well has one."""
        found = (step.summary for step in self.steps)
        return next((one for one in found if isinstance(one, kind)), None)

    def count_rejected(self, more: int = 0, file: str = "") -> None:
        """Takes the rejected rows from the summaries of the steps that read and used rows.

        Training counts those with it that could not be embedded. Where it was not reached, these
        are counted as often as they are embedded. Where a step failed because of `more` rows, it
        has listed them, with those of the steps before that embed and train, in `file`.
        """
        found = self._rejected("rejected_rows", RowsSummary)
        if more:
            found.append((more, file))
        else:
            found += self._rejected("training_record", TrainingSummary) or self._rejected(
                "embeddings", EmbeddingsSummary
            )
        self.rejected = RejectedRows(
            rows=sum(rows for rows, _ in found), files=tuple(file for _, file in found)
        )

    def _rejected(self, key: str, kind: type[Reject]) -> list[tuple[int, str]]:
        """How many rows each step of a kind has rejected, if any, and the file below its output."""
        # Imported here, as in `conclude`: who only reads a record needs neither Beam nor Keras.
        from tfx_fusion.modules.data.rejected import REJECTED_FILE

        found = [(step.summary.rejected, f"{step.outputs[key]}/{REJECTED_FILE}")
                 for step in self.steps if isinstance(step.summary, kind)]  # fmt: skip
        return [(rows, file) for rows, file in found if rows]

    def conclude(self) -> None:
        """Fills in what came of a run whose steps all ended well."""
        from tfx_fusion.modules.training.record_text import RECORD_FILE

        self.count_rejected()
        training, evaluation = self.output("training_record"), self.output("evaluation")
        self.training_record = str(training / RECORD_FILE) if training else None
        quality = read_quality(evaluation) if evaluation else Quality(lines=())
        self.metrics, self.quality = quality.overall(), quality
        pushed = self.summary(PublishSummary)
        if pushed and pushed.is_published:
            self.status, self.published = "published", pushed.path
        else:
            self.status = "not published"
            self.error = f"the model was not published: {self._reason(quality, pushed)}"

    def _reason(self, quality: Quality, pushed: PublishSummary | None) -> str:
        """Why there is no published version."""
        if pushed and pushed.status == "rolled back":
            return (
                f"it is version {pushed.version}, which was rolled back; `fusion rollback` can "
                "serve it again"
            )
        reasons = list(quality.missed)
        served = self.summary(ServingSummary)
        if served and served.problems:
            reasons.append(f"in a model server: {served.shown_problems()}")
        if not quality.is_bounded:
            reasons.append(
                "the specification sets no bounds: write what the model must reach in "
                "evaluation.thresholds"
            )
        return "; ".join(reasons) or "it was not blessed"


def _reason(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}"
