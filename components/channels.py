"""Specs of components, and what artifacts carry from one to another beside their files.

Facts are custom properties of artifacts: Kubeflow's compiler knows no declared properties but
TFX's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from tfx import types
from tfx.types import channel_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.utils import path_utils

from tfx_fusion.components.artifacts import Submodel
from tfx_fusion.modules.registry.version_record import DataSource, Span
from tfx_fusion.modules.registry.versions import Champion, holds_model
from tfx_fusion.modules.submodels.interface import Interface

SPANS: TypeAdapter[tuple[Span, ...]] = TypeAdapter(tuple[Span, ...])

# Properties of artifacts: of all data ...
PATH_KEY = "read_from"
FINGERPRINT_KEY = "data_fingerprint"
SPANS_KEY = "data_spans"  # of TFX's own ExampleGens, in JSON
MEDIA_KEY = "media_columns"  # of examples: the columns that named files, in JSON
# ... of the champion, ...
EXISTS_KEY = "model_exists"
VERSION_KEY = "version"
MODEL_DIGEST_KEY = "model_digest"
NOT_COMPARABLE_KEY = "not_comparable"
TASK_KNOWN_KEY = "task_known"  # whether it was compared with the task of the candidate
# ... of a blessing, beside the digest of its model, ...
BOUNDS_KEY = "evaluation"  # the section of a specification that was judged by, in JSON
# ... and of sub-models.
DIGEST_KEY = "digest"
INTERFACE_KEY = "interface"


# The specs of components.


def texts(*keys: str) -> dict[str, ExecutionParameter]:
    """Parameters that are texts, most of them JSON."""
    return {key: ExecutionParameter(type=str) for key in keys}


def filled(spec: type[ComponentSpec], values: Mapping[str, Any]) -> ComponentSpec:
    """A component's spec with its parameters and inputs, and a new artifact for each output."""
    made = {key: channel_utils.as_channel([output.type()]) for key, output in spec.OUTPUTS.items()}
    return spec(**values, **made)


# The data that were read: on a cluster this is known only when a pipeline runs.


def describe_data(artifact: types.Artifact, data: DataSource) -> None:
    """Writes what data were read into an artifact's properties."""
    artifact.set_string_custom_property(PATH_KEY, data.path)
    artifact.set_string_custom_property(FINGERPRINT_KEY, data.fingerprint)
    if data.spans:
        artifact.set_string_custom_property(SPANS_KEY, SPANS.dump_json(data.spans).decode())


def described_data(artifact: types.Artifact) -> DataSource:
    """The data that an artifact was made from."""
    return DataSource(
        path=artifact.get_string_custom_property(PATH_KEY),
        fingerprint=artifact.get_string_custom_property(FINGERPRINT_KEY),
        spans=SPANS.validate_json(artifact.get_string_custom_property(SPANS_KEY) or "[]"),
    )


# The champion.


def describe_champion(artifact: types.Artifact, champion: Champion | None) -> None:
    """Writes the champion's version into an artifact's properties, or that there is none."""
    artifact.set_int_custom_property(EXISTS_KEY, int(champion is not None))
    if champion is not None:
        artifact.set_string_custom_property(VERSION_KEY, champion.version)
        artifact.set_string_custom_property(MODEL_DIGEST_KEY, champion.digest)
        artifact.set_string_custom_property(NOT_COMPARABLE_KEY, champion.not_comparable)


def is_of_resolver(artifact: types.Artifact) -> bool:
    """Whether an artifact says itself which champion it holds, as a ChampionResolver's does."""
    return bool(artifact.has_custom_property(EXISTS_KEY))


def model_folder(artifact: types.Artifact) -> Path:
    """The SavedModel in an artifact: of a Trainer, or of an imported version folder."""
    folder = Path(artifact.uri)
    return folder if holds_model(folder) else Path(path_utils.serving_model_path(artifact.uri))


def described_champion(artifact: types.Artifact) -> Champion | None:
    """The champion that an artifact holds; None where there was none."""
    version = artifact.get_string_custom_property(VERSION_KEY)
    if not version:
        return None
    return Champion(
        version,
        artifact.get_string_custom_property(MODEL_DIGEST_KEY),
        artifact.get_string_custom_property(NOT_COMPARABLE_KEY),
    )


# Imported sub-models: an input channel for each.


def submodel_key(name: str) -> str:
    """The input channel of a sub-model."""
    return f"submodel_{name}"


def with_inputs(
    spec: type[ComponentSpec], keys: Iterable[str], kind: type[types.Artifact]
) -> type[ComponentSpec]:
    """A component's spec with further input channels of a kind.

    One channel that unites them would be shorter, but Kubeflow's compiler knows no unions.
    """
    channels = {key: ChannelParameter(type=kind) for key in keys}
    return type(spec.__name__, (spec,), {"INPUTS": {**spec.INPUTS, **channels}})


def with_submodels(spec: type[ComponentSpec], names: Iterable[str]) -> type[ComponentSpec]:
    """A component's spec with a channel for each sub-model."""
    return with_inputs(spec, map(submodel_key, names), Submodel)


def submodel_channels(channels: Mapping[str, types.BaseChannel]) -> dict[str, types.BaseChannel]:
    """The channels of SubmodelImporters, by the keys of the spec."""
    return {submodel_key(name): channel for name, channel in channels.items()}


class Imported(NamedTuple):
    """What importers recorded of their sub-models, by name."""

    interfaces: dict[str, Interface]
    folders: dict[str, Path]
    digests: dict[str, str]

    @classmethod
    def of(cls, artifacts: Mapping[str, types.Artifact]) -> Imported:
        """What the artifacts of SubmodelImporters hold."""
        return cls(
            {
                name: Interface.model_validate_json(one.get_string_custom_property(INTERFACE_KEY))
                for name, one in artifacts.items()
            },
            {name: Path(one.uri) for name, one in artifacts.items()},
            {name: one.get_string_custom_property(DIGEST_KEY) for name, one in artifacts.items()},
        )
