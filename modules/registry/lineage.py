"""What published versions were made from: by ML Metadata, or else by the version records."""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as proto

from tfx_fusion.modules.errors import RunError, suggestion
from tfx_fusion.modules.registry.version_record import (
    DataSource,
    Metrics,
    Provenance,
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
        new = [a for a in pushed if a.custom_properties["status"].string_value == "published"]
        return {lineage.version: lineage for lineage in (_of_pushed(store, a) for a in new)}
    except (RuntimeError, mlmd.errors.StatusError) as error:
        raise RunError(f"ML Metadata cannot be read: {metadata}: {error}") from None


def _of_pushed(store: mlmd.MetadataStore, pushed: proto.Artifact) -> Lineage:
    executions, artifacts = _upstream(store, pushed)
    facts = {key: value for e in executions for key, value in e.custom_properties.items()}
    provenance = Provenance.model_validate_json(facts["provenance"].string_value)
    [rows] = [a.custom_properties for a in artifacts if a.type == "fusion.RejectedRows"]
    return Lineage(
        version=pushed.custom_properties["pushed_version"].string_value,
        recorded_in="ML Metadata",
        published=datetime.fromtimestamp(pushed.create_time_since_epoch / 1000, UTC),
        run=facts["run"].string_value,
        specification=provenance.specification,
        data=DataSource(
            path=facts["data_path"].string_value,
            fingerprint=facts["data_fingerprint"].string_value,
        ),
        submodels={
            artifact.custom_properties["submodel"].string_value: Source(
                digest=artifact.custom_properties["digest"].string_value,
                origin=artifact.custom_properties["origin"].string_value,
            )
            for artifact in artifacts
            if artifact.type == "fusion.Submodel"
        },
        metrics=json.loads(pushed.custom_properties["metrics"].string_value),
        rows={name: rows[name].int_value for name in ("train", "eval", "rejected")},
    )


def _upstream(
    store: mlmd.MetadataStore, artifact: proto.Artifact
) -> tuple[list[proto.Execution], list[proto.Artifact]]:
    """All executions that led to an artifact, and all artifacts that they read or made.

    An artifact that was reused has further executions, which read the same.
    """
    executions: set[int] = set()
    artifacts: set[int] = {artifact.id}
    while True:
        made = store.get_events_by_artifact_ids(sorted(artifacts))
        makers = {event.execution_id for event in made if event.type == proto.Event.OUTPUT}
        if makers <= executions:
            break
        executions |= makers
        touched = store.get_events_by_execution_ids(sorted(executions))
        artifacts |= {event.artifact_id for event in touched}
    return (
        store.get_executions_by_id(sorted(executions)),
        store.get_artifacts_by_id(sorted(artifacts)),
    )
