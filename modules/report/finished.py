"""A run as its folder holds it: `run.json`, and `provenance.json` with the specification."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.report.record import RunRecord
from tfx_fusion.modules.spec import Specification

PROVENANCE_FILE = "provenance.json"
REPORT_FILE = "report.html"
# Property of an artifact: its one file, which on a cluster belongs at a fixed place, whatever the
# attempt that made it.
KEPT_AS_KEY = "kept_as"
SERVING_FOLDER = "Format-Serving"  # TFX's name for the SavedModel inside a Model artifact


@dataclass(frozen=True)
class FinishedRun:
    """One run, to report on. `name` is that of its folder, or KFP's identifier."""

    name: str
    record: RunRecord
    provenance: Provenance

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """What a run wrote into its folder; raises RunError where that is damaged."""
        record = RunRecord.read(folder)
        file = folder / PROVENANCE_FILE
        try:
            provenance = Provenance.model_validate_json(file.read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{folder}: expected a whole {PROVENANCE_FILE}, found {first_line(error)}; "
                "run again"
            ) from None
        return cls(folder.name, record, provenance)

    @cached_property
    def specification(self) -> Specification:
        """As the run resolved it, whatever the file says by now."""
        return Specification.model_validate(self.provenance.specification)

    @property
    def model(self) -> Path | None:
        """The trained SavedModel."""
        artifact = self.record.output("model")
        return artifact / SERVING_FOLDER if artifact else None
