"""The version record: what a published version is and what it was made from.

It is a file in `assets.extra` of the version's folder, which TF Serving ignores. So the rename that
publishes a version publishes its record too, and a copy of the folder includes it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Inspection

EXTRA_FOLDER = "assets.extra"
VERSION_RECORD_FILE = f"{EXTRA_FOLDER}/version.json"
# Of the training rows: later data are compared with them.
STATISTICS_FILE = f"{EXTRA_FOLDER}/statistics.pb"

Metrics = dict[str, dict[str, float]]


class Source(BaseModel):
    """An imported sub-model: the digest of its architecture and weights, and where it is from."""

    digest: str
    origin: str


class Span(BaseModel):
    """A span of data that an ExampleGen of TFX's has read: its examples and their fingerprint."""

    uri: str
    span: int | None
    version: int | None
    fingerprint: str

    def __str__(self) -> str:
        numbers = [f"span {self.span}" if self.span is not None else "no span"]
        numbers += [f"version {self.version}"] if self.version is not None else []
        return f"{', '.join(numbers)}: {self.uri}"


class DataSource(BaseModel):
    """The data file, or what ExampleGens have read, and the digest of its content."""

    path: str
    fingerprint: str
    spans: tuple[Span, ...] = ()


class Provenance(BaseModel):
    """What a model came from, as known when its run starts."""

    run: str = ""
    specification: dict[str, Any]
    data: DataSource
    submodels: dict[str, Source]

    @classmethod
    def of(
        cls,
        specification: Specification,
        inspections: Mapping[str, Inspection],
        data_fingerprint: str,
        run: str,
    ) -> Self:
        """The provenance of the model that a run makes."""
        return cls(
            run=run,
            specification=specification.model_dump(mode="json"),
            data=DataSource(path=str(specification.data.path), fingerprint=data_fingerprint),
            submodels={
                name: Source(digest=inspections[name].digest, origin=submodel.origin or str(path))
                for name, (submodel, path) in specification.imported().items()
            },
        )

    def of_run(self, run: str, data: DataSource) -> Provenance:
        """The same with the run's name and the data that it has read."""
        return self.model_copy(update={"run": run, "data": data})


class Gates(BaseModel):
    """The checks that the model passed: its `evaluation`, and the champion compared with."""

    evaluation: dict[str, Any]
    champion: str | None


class VersionRecord(Provenance):
    """What is recorded of a published version."""

    model_config = ConfigDict(ser_json_inf_nan="strings")  # a metric may be NaN

    version: str
    published: datetime
    model_digest: str
    metrics: Metrics
    gates: Gates


def read_version_record(version: Path) -> VersionRecord | None:
    """The version record; None where the version was published without one.

    Raises RunError where it is damaged.
    """
    file = version / VERSION_RECORD_FILE
    try:
        return VersionRecord.model_validate_json(file.read_bytes())
    except FileNotFoundError:  # or the version was rolled back just now
        return None
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        reason = f"{place}: {problem['msg']}" if place else problem["msg"]
        raise RunError(
            f"{file}: the version record is damaged ({reason}): restore it from a copy, or delete "
            "it to list the version without one"
        ) from None


def model_digest(folder: Path) -> str:
    """Digest of what TF Serving serves: every file of a SavedModel but those in `assets.extra`."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        place = file.relative_to(folder)
        if place.parts[0] == EXTRA_FOLDER:
            continue
        digest.update(place.as_posix().encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def published_digest(version: Path) -> str:
    """The digest of a version's model, from its record where that can be read."""
    try:
        record = read_version_record(version)
    except RunError:
        record = None
    return record.model_digest if record else model_digest(version)
