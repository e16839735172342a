"""FusionTrainer's work."""

import hashlib
import json
import math
from pathlib import Path

from pydantic import TypeAdapter
from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.components.champion_resolver.executor import current_state
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.versions import newest_version
from tfx_fusion.modules.report.summaries import TrainingSummary
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.frozen_proof import all_frozen
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.run import fuse_and_train

SPECIFICATION_KEY = "specification"
CHECKPOINTS_KEY = "checkpoints"  # empty where none are written
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


def given_embeddings(run: Execution, stages: list[StagePlan]) -> list[str]:
    """The folder of embedded rows of each distinct plan that a component was given."""
    plans = range(len(distinct_plans(stages)))
    return [str(run.input_folder(embeddings_key(position))) for position in plans]


def checkpoint_of(run: Execution, champion: Path | None) -> Checkpoint | None:
    """The place of a checkpoint depends on all that training depends on, so none is mistaken."""
    if not run.parameters[CHECKPOINTS_KEY]:
        return None
    identity = [
        run.parameters[SPECIFICATION_KEY],
        run.parameters[BINDING_KEY],
        str(champion),
        sorted((key, artifact.uri) for key, given in run.inputs.items() for artifact in given),
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return Checkpoint(Path(run.parameters[CHECKPOINTS_KEY], digest[:16]))


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Collects the inputs' places and hands them to the training module."""

    def execute(self, run: Execution) -> TrainingSummary:
        specification = run.parameter(SPECIFICATION_KEY, Fusion)
        bound = run.parameter(BINDING_KEY, Binding)
        stages = STAGES.validate_json(run.parameters[STAGES_KEY])
        submodels = run.submodels(specification.imported())
        folder = run.parameters[PUBLISH_FOLDER_KEY]
        champion = newest_version(Path(folder)) if folder else None
        seen = run.parameters[CHAMPION_KEY]
        if folder and seen not in ("", current_state(Path(folder))):
            raise RunError(
                f"{folder}: another model was published or rolled back since the run began, and "
                "training starts from the newest: run again"
            )
        model = run.output(MODEL_KEY)

        record = fuse_and_train(
            specification,
            submodels.interfaces,
            submodels.folders,
            submodels.digests,
            transform_path=run.transform_path(TRANSFORM_KEY),
            splits=run.named_splits(EXAMPLES_KEY, bound.splits),
            stages=stages,
            embeddings=given_embeddings(run, stages),
            model_path=Path(path_utils.serving_model_dir(model.uri)),
            record_path=run.output_folder(RECORD_KEY),
            checkpoint=checkpoint_of(run, champion),
            champion=champion,
            rejected_before=run.rejected_rows(EXAMPLES_KEY),
            names=bound.names,
        )
        model.set_string_custom_property("frozen_digest", all_frozen(record.proof).exported)
        for name, part in record.proof.items():
            model.set_string_custom_property(f"frozen_digest_{name}", part.exported)
        return summary(record)


def summary(record: TrainingRecord) -> TrainingSummary:
    """What training learned from, stage by stage, and what it ended with."""
    learned = dict.fromkeys(stage.learns_from.source for stage in record.stages)
    loss = record.kept_epoch["loss"]
    return TrainingSummary(
        learned_from=tuple(learned),
        loss=loss if math.isfinite(loss) else None,
        frozen_tensors=all_frozen(record.proof).tensors,
        warm_start=str(record.warm_start) if record.warm_start else "",
        rejected=sum(record.rejected.values()),
        rejected_train=record.rejected.get("train", 0),
    )
