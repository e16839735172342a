"""FusionTrainer's work."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_fusion.components.submodel_channels import given_submodels
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans
from tfx_fusion.modules.registry.versions import newest_version
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.frozen_proof import all_frozen
from tfx_fusion.modules.training.run import fuse_and_train

SPECIFICATION_KEY = "specification"
CHECKPOINTS_KEY = "checkpoints"
PUBLISH_FOLDER_KEY = "publish_folder"  # empty where no warm start is asked for
CHAMPION_KEY = "champion"
EXAMPLES_KEY = "examples"
TRANSFORM_KEY = "transform_graph"
MODEL_KEY = "model"
RECORD_KEY = "training_record"
STAGES_KEY = "stages"
STAGES = TypeAdapter(list[StagePlan])


def embeddings_key(position: int) -> str:
    """The input channel of the embeddings of a plan, by its place among the distinct ones."""
    return f"embeddings_{position}"


def given_embeddings(
    input_dict: dict[str, list[types.Artifact]], stages: list[StagePlan]
) -> list[str]:
    """The folder of embedded rows of each distinct plan that a component was given."""
    return [
        artifact_utils.get_single_uri(input_dict[embeddings_key(position)])
        for position in range(len(distinct_plans(stages)))
    ]


def checkpoint_of(
    input_dict: dict[str, list[types.Artifact]],
    exec_properties: dict[str, Any],
    champion: Path | None,
) -> Checkpoint:
    """The place of a checkpoint depends on all that training depends on, so none is mistaken."""
    identity = [
        exec_properties[SPECIFICATION_KEY],
        str(champion),
        sorted(
            (key, artifact.uri) for key, artifacts in input_dict.items() for artifact in artifacts
        ),
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return Checkpoint(Path(exec_properties[CHECKPOINTS_KEY], digest[:16]))


class Executor(base_executor.BaseExecutor):
    """Collects the inputs' places and hands them to the trainer module."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        specification = Specification.model_validate_json(exec_properties[SPECIFICATION_KEY])
        folder = exec_properties[PUBLISH_FOLDER_KEY]
        champion = newest_version(Path(folder)) if folder else None
        examples = input_dict[EXAMPLES_KEY]
        transform_graph = artifact_utils.get_single_uri(input_dict[TRANSFORM_KEY])
        model = artifact_utils.get_single_instance(output_dict[MODEL_KEY])
        record = artifact_utils.get_single_instance(output_dict[RECORD_KEY])
        submodels = given_submodels(input_dict, specification.imported())
        stages = STAGES.validate_json(exec_properties[STAGES_KEY])

        history = fuse_and_train(
            specification,
            submodels.interfaces,
            submodels.folders,
            submodels.digests,
            transform_path=str(Path(transform_graph, "transform_fn")),
            splits={split: artifact_utils.get_split_uri(examples, split) for split in SPLITS},
            stages=stages,
            embeddings=given_embeddings(input_dict, stages),
            model_path=Path(path_utils.serving_model_dir(model.uri)),
            record_path=Path(record.uri),
            checkpoint=checkpoint_of(input_dict, exec_properties, champion),
            champion=champion,
        )
        frozen = all_frozen(history.proof)
        model.set_int_custom_property("frozen_tensors_proven", frozen.tensors)
        model.set_string_custom_property("frozen_digest", frozen.exported)
        for name, part in history.proof.items():
            model.set_string_custom_property(f"frozen_digest_{name}", part.exported)
        if history.warm_start:
            model.set_string_custom_property("warm_start", str(history.warm_start))
