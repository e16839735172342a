"""Models in: a pretrained model becomes a checked copy with its interface, digest and origin."""

import json
from collections.abc import Sequence

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import Submodel
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.submodel_importer import executor


class SubmodelImporterSpec(ComponentSpec):
    """The digest is a parameter, so that TFX's cache sees a model that changed in its place."""

    PARAMETERS = texts(
        executor.NAME_KEY,
        executor.PATH_KEY,
        executor.SIGNATURE_KEY,
        executor.CUSTOM_OBJECTS_KEY,
        executor.ALLOW_OPS_KEY,
        executor.DIGEST_KEY,
        executor.ORIGIN_KEY,
    )
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {executor.SUBMODEL_KEY: ChannelParameter(type=Submodel)}


class SubmodelImporter(base_component.BaseComponent):
    """Loads a `.keras` file or SavedModel safely, checks it and keeps a copy."""

    SPEC_CLASS = SubmodelImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        name: str,
        path: str,
        digest: str,
        signature: str | None = None,
        custom_objects: Sequence[str] = (),
        allow_ops: Sequence[str] = (),
        origin: str | None = None,
    ) -> None:
        """
        Args:
            name: the sub-model's name in the specification.
            path: its `.keras` file or SavedModel folder.
            digest: of its architecture and weights, as the specification was checked with.
            signature: the SavedModel's signature to use; None takes `serving_default`.
            custom_objects: classes that a `.keras` file may hold, as `package.module:Class`.
            allow_ops: operations that a SavedModel may hold beside those known to be safe.
            origin: where the model comes from, for the record; None takes the path.
        """
        values = {
            executor.NAME_KEY: name,
            executor.PATH_KEY: path,
            executor.SIGNATURE_KEY: signature or "",
            executor.CUSTOM_OBJECTS_KEY: json.dumps(list(custom_objects)),
            executor.ALLOW_OPS_KEY: json.dumps(list(allow_ops)),
            executor.DIGEST_KEY: digest,
            executor.ORIGIN_KEY: origin or path,
        }
        super().__init__(filled(SubmodelImporterSpec, values))
