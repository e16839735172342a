"""A run as its folder tells it: `run.json`, and `provenance.json` with the specification."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from tfx_fusion.modules.errors import RunError, first_line
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.spec import Specification

RUN_FILE = "run.json"
PROVENANCE_FILE = "provenance.json"
REPORT_FILE = "report.html"
# Property of an artifact whose one file belongs at a fixed place, beside those of other attempts.
KEPT_AS_KEY = "kept_as"
SERVING_FOLDER = "Format-Serving"  # TFX's name for the SavedModel inside a Model artifact


@dataclass(frozen=True)
class FinishedRun:
    """One run; whatever it did not come to is None, or empty."""

    folder: Path
    record: dict[str, Any]
    provenance: Provenance

    @classmethod
    def read(cls, folder: Path) -> FinishedRun:
        """What a run wrote into its folder; raises RunError where that is damaged."""
        try:
            record = json.loads((folder / RUN_FILE).read_text())
            provenance = Provenance.model_validate_json((folder / PROVENANCE_FILE).read_text())
        except (OSError, ValueError) as error:
            raise RunError(
                f"{folder}: expected a whole {RUN_FILE} and {PROVENANCE_FILE}: "
                f"{first_line(error)}; run again"
            ) from None
        return cls(folder, record, provenance)

    @cached_property
    def specification(self) -> Specification:
        """As the run resolved it, whatever the file says by now."""
        return Specification.model_validate(self.provenance.specification)

    def output(self, key: str) -> Path | None:
        """Where the first stage that gave something under a key put it."""
        found = (stage["outputs"].get(key) for stage in self.record["stages"])
        return next((Path(uri) for uri in found if uri), None)

    def made(self, component: str) -> str:
        """What a stage made, in words, by its component; empty where it did not end well."""
        found = (s["made"] for s in self.record["stages"] if s["component"] == component)
        return next(found, "")

    @property
    def model(self) -> Path | None:
        """The trained SavedModel."""
        artifact = self.output("model")
        return artifact / SERVING_FOLDER if artifact else None
