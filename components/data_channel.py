"""What data were read, as an artifact tells it: known only when a pipeline runs on a cluster."""

from __future__ import annotations

from tfx import types

from tfx_fusion.modules.registry.version_record import DataSource

# Properties of the artifact.
PATH_KEY = "read_from"
FINGERPRINT_KEY = "data_fingerprint"


def describe_data(artifact: types.Artifact, data: DataSource) -> None:
    """Tells of the data in an artifact's properties."""
    artifact.set_string_custom_property(PATH_KEY, data.path)
    artifact.set_string_custom_property(FINGERPRINT_KEY, data.fingerprint)


def described_data(artifact: types.Artifact) -> DataSource:
    """The data that an artifact tells of."""
    return DataSource(
        path=artifact.get_string_custom_property(PATH_KEY),
        fingerprint=artifact.get_string_custom_property(FINGERPRINT_KEY),
    )
