"""Runs as their folders hold them: what each did, and where what it made is."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.evaluation.quality import Quality
from tfx_fusion.modules.report.finished import SERVING_FOLDER
from tfx_fusion.modules.report.record import RUN_FILE, RejectedRows, RunRecord, StepRecord
from tfx_fusion.modules.report.summaries import Metrics, metrics_text
from tfx_fusion.pipeline.living import LOCK_FILE

REPR_CHARACTERS = 120


@dataclass(frozen=True)
class Run:
    """A run of a specification, as it was when it was read.

    Args:
        folder: the run's own, in the folder of runs.
        record: its `run.json`.

    What a run did not reach is None, or empty. Paths are those on the machine of the run.
    """

    folder: Path
    record: RunRecord

    @classmethod
    def read(cls, folder: Path) -> Run:
        """The run in a folder; raises RunError where that holds no whole record of one."""
        return cls(folder, RunRecord.read(folder))

    @property
    def name(self) -> str:
        """The name of its folder: the time when it started."""
        return self.folder.name

    @property
    def status(self) -> str:
        """`published`, `not published`, `failed`, `interrupted`, `running` or `tuned`."""
        return self.record.status

    @property
    def error(self) -> str | None:
        """Why it failed or published nothing."""
        return self.record.error

    @property
    def published(self) -> Path | None:
        """The folder of the version that it published, or found published already."""
        return _path(self.record.published)

    @property
    def steps(self) -> tuple[StepRecord, ...]:
        """Its steps, with their status, seconds and summaries."""
        return tuple(self.record.steps)

    @property
    def metrics(self) -> Metrics:
        """The metrics of the whole evaluation split: `{output: {metric: value}}`."""
        return self.record.metrics

    @property
    def quality(self) -> Quality | None:
        """Every metric, also of slices and single branches, with intervals and bounds."""
        return self.record.quality

    @property
    def model(self) -> Path | None:
        """The trained SavedModel, published or not."""
        artifact = self.record.output("model")
        return artifact / SERVING_FOLDER if artifact else None

    @property
    def report(self) -> Path | None:
        """The page that shows it."""
        return _path(self.record.report)

    @property
    def log(self) -> Path | None:
        """All that the libraries wrote meanwhile."""
        return _path(self.record.log)

    @property
    def rejected(self) -> RejectedRows:
        """How many rows were rejected, and the files that list them."""
        return self.record.rejected

    @property
    def outputs(self) -> dict[str, dict[str, Path]]:
        """The folders of what its steps made: `{step: {output: folder}}`."""
        return {
            step.name: {key: Path(place) for key, place in step.outputs.items()}
            for step in self.record.steps
        }

    def __repr__(self) -> str:
        parts = [self.status, self.error or metrics_text(self.metrics)]
        text = ", ".join(part for part in parts if part)
        return f"<Run {self.name}: {shorten(text, REPR_CHARACTERS, placeholder=' …')}>"

    def _repr_html_(self) -> str:
        from tfx_fusion.pipeline.notebook import run_html

        return run_html(self)


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None


def read_runs(folder: Path) -> list[Run]:
    """The runs in a folder of runs, the newest last; warns of each that cannot be read.

    Raises RunError where the folder is no folder of runs.
    """
    if not folder.is_dir():
        raise RunError(
            f"{folder}: expected a folder of runs, found {'a file' if folder.exists() else 'none'};"
            " it is `runs` beside the specification unless another was given"
        )
    if (folder / RUN_FILE).is_file():
        raise RunError(f"{folder}: expected a folder of runs, found a run: give {folder.parent}")
    files = sorted(folder.glob(f"*/{RUN_FILE}"))  # by the time when each started
    if not files and not (folder / LOCK_FILE).is_file():
        raise RunError(
            f"{folder}: expected a folder of runs, found one in which nothing has been run"
        )
    runs = []
    for file in files:
        try:
            runs.append(Run.read(file.parent))
        except RunError as error:  # of an older version of this project, or damaged
            warnings.warn(str(error), stacklevel=3)
    return runs
