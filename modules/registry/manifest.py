"""What a published version is and came from: a manifest inside its folder.

It lies in `assets.extra`, which TF Serving leaves alone. There the rename that makes a version
appear makes its manifest appear with it, and whoever copies the version elsewhere takes it along;
a file beside the folder would do neither.
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
MANIFEST_FILE = f"{EXTRA_FOLDER}/manifest.json"
# Of the rows that the model was trained on: what later data are compared with.
STATISTICS_FILE = f"{EXTRA_FOLDER}/statistics.pb"

Metrics = dict[str, dict[str, float]]


class Source(BaseModel):
    """An imported sub-model: the digest of its architecture and weights, and where it is from."""

    digest: str
    origin: str


class DataSource(BaseModel):
    """The data file, and the digest of its content."""

    path: str
    fingerprint: str


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
        """What a model that a run makes comes from."""
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
        """The same of a run of that name, which has read those data."""
        return self.model_copy(update={"run": run, "data": data})


class Gates(BaseModel):
    """What the model passed: its specification's `evaluation`, against which champion."""

    evaluation: dict[str, Any]
    champion: str | None


class Manifest(Provenance):
    """All that is known of a published version."""

    model_config = ConfigDict(ser_json_inf_nan="strings")  # a metric may be NaN

    version: str
    published: datetime
    model_digest: str
    metrics: Metrics
    gates: Gates


def read_manifest(version: Path) -> Manifest | None:
    """The manifest of a version; None where it was published without one.

    Raises RunError where it is damaged.
    """
    file = version / MANIFEST_FILE
    if not file.is_file():
        return None
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(map(str, problem["loc"]))
        reason = f"{place}: {problem['msg']}" if place else problem["msg"]
        raise RunError(
            f"{file}: the manifest is damaged ({reason}): restore it from a copy, or delete it to "
            "have the version listed without one"
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
    """The digest of a version's model, from its manifest where that can be read."""
    try:
        manifest = read_manifest(version)
    except RunError:
        manifest = None
    return manifest.model_digest if manifest else model_digest(version)
