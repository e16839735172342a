"""`run.json`: what a run did and came to, rewritten whole after every stage."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.report.finished import PROVENANCE_FILE, RUN_FILE

if TYPE_CHECKING:  # importing TFX takes ten seconds, and a record is made before that
    from tfx_fusion.pipeline.stages import Stage


@dataclass
class RunRecord:
    """One run of a specification, and its folder."""

    folder: Path
    name: str
    specification: Path
    stages: dict[str, Stage] = field(default_factory=dict)
    status: str = "running"
    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    quality: dict[str, Any] = field(default_factory=dict)
    published: str | None = None
    training_record: str | None = None
    rejected: int = 0
    rejected_file: str | None = None
    error: str | None = None
    report: str | None = None

    @classmethod
    def start(cls, runs: Path, name: str, specification: Path) -> RunRecord:
        """A record in a folder of its own, named by the time."""
        stem = datetime.now().strftime("%Y%m%d-%H%M%S")
        folder = runs / stem
        tries = 1
        while folder.exists():
            tries += 1
            folder = runs / f"{stem}-{tries}"
        folder.mkdir(parents=True)
        return cls(folder, name, specification)

    @property
    def log(self) -> Path:
        return self.folder / "run.log"

    @property
    def file(self) -> Path:
        return self.folder / RUN_FILE

    @property
    def provenance(self) -> Path:
        """What is known of what the model comes from, written once the stages start."""
        return self.folder / PROVENANCE_FILE

    def write(self) -> None:
        """Writes `run.json` whole."""
        content = {
            "name": self.name,
            "status": self.status,
            "specification": str(self.specification),
            "log": str(self.log),
            "stages": [
                {
                    "name": stage.name,
                    "component": stage.component,
                    "status": stage.status,
                    "seconds": round(stage.seconds, 3),
                    "saved": round(stage.saved, 3),
                    "made": stage.note if stage.status in ("done", "reused") else "",
                    "outputs": stage.outputs,
                }
                for stage in self.stages.values()
            ],
            "metrics": self.metrics,
            "quality": self.quality,
            "published": self.published,
            "training_record": self.training_record,
            "rejected": {"rows": self.rejected, "file": self.rejected_file},
            "error": self.error,
            "report": self.report,
        }
        write_text(self.file, json.dumps(content, indent=1) + "\n")
