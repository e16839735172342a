"""Imported sub-models as inputs of a component: a channel for each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from tfx import types
from tfx.types import artifact_utils
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import Submodel
from tfx_fusion.modules.submodels.interface import Interface

PREFIX = "submodel_"


def submodel_key(name: str) -> str:
    """The input channel of a sub-model."""
    return f"{PREFIX}{name}"


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


def submodel_channels(
    channels: Mapping[str, types.BaseChannel],
) -> dict[str, types.BaseChannel]:
    """The channels of SubmodelImporters, by the keys of the spec."""
    return {submodel_key(name): channel for name, channel in channels.items()}


class Imported(NamedTuple):
    """What importers recorded of their sub-models, by name."""

    interfaces: dict[str, Interface]
    folders: dict[str, Path]
    digests: dict[str, str]


def given_submodels(input_dict: dict[str, list[types.Artifact]], names: Iterable[str]) -> Imported:
    """The imported sub-models that a component was given."""
    found = {
        name: artifact_utils.get_single_instance(input_dict[submodel_key(name)]) for name in names
    }
    return Imported(
        {
            name: Interface.model_validate_json(artifact.get_string_custom_property("interface"))
            for name, artifact in found.items()
        },
        {name: Path(artifact.uri) for name, artifact in found.items()},
        {name: artifact.get_string_custom_property("digest") for name, artifact in found.items()},
    )
