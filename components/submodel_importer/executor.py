"""SubmodelImporter's work."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

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
MODEL_KEY = "model"


def trained_model(folder: Path) -> Path:
    """The model in the artifact of a Trainer: its SavedModel, or the only `.keras` file there."""
    exported = Path(path_utils.serving_model_path(str(folder)))
    files = sorted(exported.glob("*.keras"))
    if (exported / "saved_model.pb").is_file() or len(files) != 1:
        return exported
    return files[0]


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Copies first and checks the copy, so that what was checked is what is used."""

    def execute(self, run: Execution) -> SubmodelSummary:
        given = run.input_folder(MODEL_KEY) if run.has_input(MODEL_KEY) else None
        if given is None and not run.parameters[PATH_KEY]:
            raise RunError(
                f"submodels.{run.parameters[NAME_KEY]}: expected a trained model, found none yet: "
                "train it first"
            )
        path = Path(run.parameters[PATH_KEY]) if given is None else trained_model(given)
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
        expected = run.parameters[DIGEST_KEY]
        if expected and inspection.digest != expected:
            raise RunError(
                f"{path}: the model changed while the run was starting (expected digest "
                f"{expected[:12]}, found {inspection.digest[:12]}): run again"
            )
        interface = inspection.interface
        artifact.set_string_custom_property("submodel", run.parameters[NAME_KEY])
        artifact.set_string_custom_property("digest", inspection.digest)
        artifact.set_string_custom_property("origin", run.parameters[ORIGIN_KEY] or str(path))
        artifact.set_string_custom_property(INTERFACE_KEY, interface.model_dump_json())
        artifact.set_int_custom_property("parameters", interface.parameters)
        return SubmodelSummary(parameters=interface.parameters, digest=inspection.digest)
