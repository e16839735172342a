"""SubmodelImporter's work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.submodels.copy import copy_submodel
from tfx_fusion.modules.submodels.inspection import inspect_submodel

NAME_KEY = "submodel_name"
PATH_KEY = "path"
SIGNATURE_KEY = "signature"
CUSTOM_OBJECTS_KEY = "custom_objects"
DIGEST_KEY = "digest"
ORIGIN_KEY = "origin"
SUBMODEL_KEY = "submodel"


class Executor(base_executor.BaseExecutor):
    """Copies first and checks the copy, so that what was checked is what is used."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        path = Path(exec_properties[PATH_KEY])
        artifact = artifact_utils.get_single_instance(output_dict[SUBMODEL_KEY])

        copied = copy_submodel(path, Path(artifact.uri))
        inspection = inspect_submodel(
            copied,
            exec_properties[SIGNATURE_KEY] or None,
            json.loads(exec_properties[CUSTOM_OBJECTS_KEY]),
        )
        if inspection.digest != exec_properties[DIGEST_KEY]:
            raise RunError(
                f"{path}: the model changed while the run was starting (expected digest "
                f"{exec_properties[DIGEST_KEY][:12]}, found {inspection.digest[:12]}): run again"
            )

        interface = inspection.interface
        artifact.set_string_custom_property("submodel", exec_properties[NAME_KEY])
        artifact.set_string_custom_property("digest", inspection.digest)
        artifact.set_string_custom_property("origin", exec_properties[ORIGIN_KEY])
        artifact.set_string_custom_property("interface", interface.model_dump_json())
        artifact.set_int_custom_property("parameters", interface.parameters)
