"""SubmodelImporter's work."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_executor

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import INTERFACE_KEY
from tfx_fusion.modules.errors import RunError, UserError
from tfx_fusion.modules.report.summaries import SubmodelSummary
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel

NAME_KEY = "submodel_name"
PATH_KEY = "path"
SIGNATURE_KEY = "signature"
CUSTOM_OBJECTS_KEY = "custom_objects"
ALLOW_OPS_KEY = "allow_ops"
DIGEST_KEY = "digest"
ORIGIN_KEY = "origin"
SUBMODEL_KEY = "submodel"


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Copies first and checks the copy, so that what was checked is what is used."""

    def execute(self, run: Execution) -> SubmodelSummary:
        path = Path(run.parameters[PATH_KEY])
        artifact = run.output(SUBMODEL_KEY)

        copied = copy_submodel(path, Path(artifact.uri))
        try:
            inspection = inspect_submodel(
                copied,
                run.parameters[SIGNATURE_KEY] or None,
                json.loads(run.parameters[CUSTOM_OBJECTS_KEY]),
                json.loads(run.parameters[ALLOW_OPS_KEY]),
            )
        except UserError as error:  # the copy is removed with the failed step
            raise RunError(str(error).replace(str(copied), str(path))) from error
        if inspection.digest != run.parameters[DIGEST_KEY]:
            raise RunError(
                f"{path}: the model changed while the run was starting (expected digest "
                f"{run.parameters[DIGEST_KEY][:12]}, found {inspection.digest[:12]}): run again"
            )
        interface = inspection.interface
        artifact.set_string_custom_property("submodel", run.parameters[NAME_KEY])
        artifact.set_string_custom_property("digest", inspection.digest)
        artifact.set_string_custom_property("origin", run.parameters[ORIGIN_KEY])
        artifact.set_string_custom_property(INTERFACE_KEY, interface.model_dump_json())
        artifact.set_int_custom_property("parameters", interface.parameters)
        return SubmodelSummary(parameters=interface.parameters, digest=inspection.digest)
