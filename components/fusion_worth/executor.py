"""FusionWorthGen's work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_fusion.components.fusion_trainer.executor import STAGES, given_embeddings
from tfx_fusion.components.submodel_channels import given_submodels
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.evaluation.ablation import write_ablation
from tfx_fusion.modules.evaluation.measure_ablation import measure_ablation
from tfx_fusion.modules.spec import Specification

SPECIFICATION_KEY = "specification"
STAGES_KEY = "stages"
EXAMPLES_KEY = "examples"
TRANSFORM_KEY = "transform_graph"
MODEL_KEY = "model"
WORTH_KEY = "worth"


class Executor(base_executor.BaseExecutor):
    """Collects the inputs' places and hands them to the evaluation module."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        specification = Specification.model_validate_json(exec_properties[SPECIFICATION_KEY])
        examples = input_dict[EXAMPLES_KEY]
        transform_graph = artifact_utils.get_single_uri(input_dict[TRANSFORM_KEY])
        model = artifact_utils.get_single_uri(input_dict[MODEL_KEY])
        submodels = given_submodels(input_dict, specification.imported())
        stages = STAGES.validate_json(exec_properties[STAGES_KEY])

        ablation = measure_ablation(
            specification,
            submodels.interfaces,
            submodels.folders,
            transform_path=str(Path(transform_graph, "transform_fn")),
            splits={split: artifact_utils.get_split_uri(examples, split) for split in SPLITS},
            stages=stages,
            embeddings=given_embeddings(input_dict, stages),
            model=Path(path_utils.serving_model_dir(model)),
        )
        write_ablation(ablation, Path(artifact_utils.get_single_uri(output_dict[WORTH_KEY])))
