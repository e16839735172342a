"""Models in: a pretrained model becomes a checked copy with its interface, digest and origin."""

import json
from collections.abc import Sequence
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import Submodel
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.submodel_importer import executor
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.submodels.inspection import inspect_submodel


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
    INPUTS = {executor.MODEL_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True)}
    OUTPUTS = {executor.SUBMODEL_KEY: ChannelParameter(type=Submodel)}


class SubmodelImporter(base_component.BaseComponent):
    """Loads a `.keras` file or SavedModel safely, checks it and keeps a copy.

    Example:
        >>> SubmodelImporter("notes", "serving/3").with_id("ImportNotes")
        >>> SubmodelImporter("notes", model=trainer.outputs["model"]).with_id("ImportNotes")
    """

    SPEC_CLASS = SubmodelImporterSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        name: str,
        path: str = "",
        digest: str | None = None,
        signature: str | None = None,
        custom_objects: Sequence[str] = (),
        allow_ops: Sequence[str] = (),
        origin: str | None = None,
        model: types.BaseChannel | None = None,
    ) -> None:
        """
        Args:
            name: the sub-model's name in the specification.
            path: its `.keras` file or SavedModel folder, as a version of a model registry is.
            digest: of its architecture and weights, as the specification was checked with. None
                reads it from a path that exists here, and else takes the model as it is found.
            signature: the SavedModel's signature to use; None takes `serving_default`.
            custom_objects: classes that a `.keras` file may hold, as `package.module:Class`.
            allow_ops: operations that a SavedModel may hold beside those known to be safe.
            origin: where the model comes from, for the record; None takes the path.
            model: in place of a path, the model of a Trainer: of this pipeline, or of another by a
                Resolver or Importer.

        Raises SpecificationError unless either a path or a model is given, and UserError for a path
        that holds no model that can be taken.
        """
        if bool(path) == (model is not None):
            raise SpecificationError(
                f"submodels.{name}: expected either a path or a model, found "
                f"{'both' if path else 'neither'}"
            )
        if digest is None:
            digest = ""
            if path and Path(path).exists():
                found = inspect_submodel(Path(path), signature, custom_objects, allow_ops)
                digest = found.digest
        values = {
            executor.NAME_KEY: name,
            executor.PATH_KEY: path,
            executor.SIGNATURE_KEY: signature or "",
            executor.CUSTOM_OBJECTS_KEY: json.dumps(list(custom_objects)),
            executor.ALLOW_OPS_KEY: json.dumps(list(allow_ops)),
            executor.DIGEST_KEY: digest,
            executor.ORIGIN_KEY: origin or path,
            **({} if model is None else {executor.MODEL_KEY: model}),
        }
        super().__init__(filled(SubmodelImporterSpec, values))
