"""What published versions were made from: by ML Metadata, or else by the version records."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as proto

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.registry.version_record import (
    DataSource,
    Metrics,
    Source,
    VersionRecord,
    read_version_record,
)
from tfx_fusion.modules.registry.versions import all_versions


@dataclass(frozen=True)
class Lineage:
    """What a version was made from, and where that is recorded.

    Only ML Metadata records the counts of rows.
    """

    version: str
    recorded_in: str
    published: datetime
    run: str
    specification: dict[str, Any]
    data: DataSource
    submodels: dict[str, Source]
    metrics: Metrics
    rows: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Lineages:
    """The lineages of all versions that are recorded, also of those no longer in the folder.

    `missing` is why ML Metadata was not read; `unknown`, by version, why nothing is recorded.
    """

    known: dict[str, Lineage]
    missing: str
    unknown: dict[str, str]

    def of_version(self, name: str) -> Lineage:
        """Raises RunError where nothing is known of a version."""
        if name in self.unknown:
            raise RunError(f"version {name}: {self.unknown[name]}")
        if name not in self.known:
            raise RunError(f"there is no version '{name}'; {suggestion(name, self.known)}")
        return self.known[name]

    def with_submodel(self, digest: str) -> list[tuple[Lineage, str]]:
        """Each version with a sub-model whose digest begins so, and that sub-model's name.

        Raises RunError where there is none.
        """
        found = [
            (lineage, name)
            for lineage in self.known.values()
            for name, source in lineage.submodels.items()
            if source.digest.startswith(digest.lower())
        ]
        if not found:
            digests = {
                s.digest for lineage in self.known.values() for s in lineage.submodels.values()
            }
            hint = suggestion(digest, {known[: max(len(digest), 12)] for known in digests})
            problem = f"no recorded version has a sub-model whose digest begins with '{digest}'"
            unknown = [f"version {name}: {reason}" for name, reason in self.unknown.items()]
            raise RunError("\n".join([f"{problem}; {hint}", *unknown]))
        return found


def lineages(folder: Path, metadata: Path | None) -> Lineages:
    """The lineage of every version, by its number.

    Args:
        folder: the publish folder.
        metadata: the SQLite file of ML Metadata, which may be gone; None where it is not known.
    """
    missing = ""
    known: dict[str, Lineage] = {}
    try:
        known = _recorded(metadata)
    except RunError as error:
        missing = str(error)
    unknown = {}
    for version in all_versions(folder):
        if version.name in known:
            continue
        try:
            record = read_version_record(version.path)
        except RunError as error:
            unknown[version.name] = str(error)
            continue
        if record is None:
            unknown[version.name] = "its origin is in neither ML Metadata nor a version record"
        else:
            known[version.name] = _of_record(version.name, record)
    return Lineages(dict(sorted(known.items(), key=lambda item: -int(item[0]))), missing, unknown)


def _of_record(version: str, record: VersionRecord) -> Lineage:
    return Lineage(
        version=version,
        recorded_in="version record",
        published=record.published,
        run=record.run,
        specification=record.specification,
        data=record.data,
        submodels=record.submodels,
        metrics=record.metrics,
    )


def _recorded(metadata: Path | None) -> dict[str, Lineage]:
    """The lineages in ML Metadata, by version. Raises RunError where it cannot be read."""
    if metadata is None:
        raise RunError("ML Metadata is found by the specification file, and a folder was given")
    if not metadata.is_file():
        raise RunError(f"ML Metadata is missing: {metadata}: no such file")
    config = proto.ConnectionConfig()
    config.sqlite.filename_uri = str(metadata)
    config.sqlite.connection_mode = proto.SqliteMetadataSourceConfig.READONLY
    try:
        store = mlmd.MetadataStore(config)
        pushed = store.get_artifacts_by_type("PushedModel")
        # A version that a later run found unchanged has further artifacts: the first counts.
        new = [a for a in pushed if "version_record" in a.custom_properties]
        return {lineage.version: lineage for lineage in (_of_pushed(store, a) for a in new)}
    except (RuntimeError, mlmd.errors.StatusError) as error:
        raise RunError(f"ML Metadata cannot be read: {metadata}: {error}") from None


def _of_pushed(store: mlmd.MetadataStore, pushed: proto.Artifact) -> Lineage:
    properties = pushed.custom_properties
    version = properties["pushed_version"].string_value
    record = VersionRecord.model_validate_json(properties["version_record"].string_value)
    # Only this project's own ExampleGen counts rows.
    rows = [
        artifact.custom_properties
        for artifact in _upstream(store, pushed)
        if artifact.type == "fusion.RejectedRows"
    ]
    counts = {
        name: found[name].int_value for found in rows for name in ("train", "eval", "rejected")
    }
    return replace(_of_record(version, record), recorded_in="ML Metadata", rows=counts)


def _upstream(store: mlmd.MetadataStore, artifact: proto.Artifact) -> list[proto.Artifact]:
    """All artifacts that the executions which led to an artifact read or made.

    An artifact that was reused has further executions, which read the same.
    """
    executions: set[int] = set()
    artifacts: set[int] = {artifact.id}
    while True:
        made = store.get_events_by_artifact_ids(sorted(artifacts))
        makers = {event.execution_id for event in made if event.type == proto.Event.OUTPUT}
        if makers <= executions:
            return list(store.get_artifacts_by_id(sorted(artifacts)))
        executions |= makers
        touched = store.get_events_by_execution_ids(sorted(executions))
        artifacts |= {event.artifact_id for event in touched}
