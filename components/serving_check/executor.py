"""ServingCheck's work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.serving.check.check import check_serving
from tfx_fusion.modules.spec import Specification

SPECIFICATION_KEY = "specification"
EXAMPLES_KEY = "examples"
MODEL_KEY = "model"
BLESSING_KEY = "blessing"
SPLIT = "eval"

# What Pusher reads of InfraValidator's blessing.
BLESSED_KEY = "blessed"
HAS_MODEL_KEY = "has_model"
BLESSED_FILES = {True: "INFRA_BLESSED", False: "INFRA_NOT_BLESSED"}
# What a run tells its user.
TOLD_KEY = "told"


class Executor(base_executor.BaseExecutor):
    """Checks, and blesses the model or not."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        specification = Specification.model_validate_json(exec_properties[SPECIFICATION_KEY])
        model = artifact_utils.get_single_instance(input_dict[MODEL_KEY])
        blessing = artifact_utils.get_single_instance(output_dict[BLESSING_KEY])

        report = check_serving(
            specification,
            model=Path(path_utils.serving_model_path(model.uri)),
            split=artifact_utils.get_split_uri(input_dict[EXAMPLES_KEY], SPLIT),
            folder=Path(blessing.uri),
            candidate=Path(path_utils.stamped_model_path(blessing.uri)),
        )

        passed = not report.problems
        write_text(Path(blessing.uri, BLESSED_FILES[passed]), "")
        blessing.set_int_custom_property(BLESSED_KEY, int(passed))
        blessing.set_int_custom_property(HAS_MODEL_KEY, int(passed))
        blessing.set_string_custom_property(TOLD_KEY, report.summary())
