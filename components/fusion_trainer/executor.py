"""FusionTrainer's work."""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter
from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.champion_resolver.executor import check_state
from tfx_fusion.modules.embedding.plan import StagePlan, distinct_plans
from tfx_fusion.modules.registry.versions import newest_version
from tfx_fusion.modules.report.summaries import TrainingSummary
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.frozen_proof import all_frozen
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.run import fuse_and_train
from tfx_fusion.modules.training.warm_start import Champion

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


def given_embeddings(run: Execution, stages: list[StagePlan]) -> list[str]:
    """The folder of embedded rows of each distinct plan that a component was given."""
    plans = range(len(distinct_plans(stages)))
    return [str(run.input_folder(embeddings_key(position))) for position in plans]


def checkpoint_of(run: Execution, champion: Path | None) -> Checkpoint:
    """The place of a checkpoint depends on all that training depends on, so none is mistaken."""
    identity = [
        run.parameters[SPECIFICATION_KEY],
        str(champion),
        sorted((key, artifact.uri) for key, given in run.inputs.items() for artifact in given),
    ]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()
    return Checkpoint(Path(run.parameters[CHECKPOINTS_KEY], digest[:16]))


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Collects the inputs' places and hands them to the training module."""

    def execute(self, run: Execution) -> TrainingSummary:
        specification = run.parameter(SPECIFICATION_KEY, Specification)
        stages = STAGES.validate_json(run.parameters[STAGES_KEY])
        submodels = run.submodels(specification.imported())
        folder = run.parameters[PUBLISH_FOLDER_KEY]
        start = _champion(run, Path(folder), submodels.digests) if folder else None
        model = run.output(MODEL_KEY)

        record = fuse_and_train(
            specification,
            submodels.interfaces,
            submodels.folders,
            submodels.digests,
            transform_path=run.transform_path(TRANSFORM_KEY),
            splits=run.splits(EXAMPLES_KEY),
            stages=stages,
            embeddings=given_embeddings(run, stages),
            model_path=Path(path_utils.serving_model_dir(model.uri)),
            record_path=run.output_folder(RECORD_KEY),
            checkpoint=checkpoint_of(run, start.version if start else None),
            start=start,
            rejected_before=run.rejected_rows(EXAMPLES_KEY),
        )
        model.set_string_custom_property("frozen_digest", all_frozen(record.proof).exported)
        for name, part in record.proof.items():
            model.set_string_custom_property(f"frozen_digest_{name}", part.exported)
        return summary(record)


def _champion(run: Execution, folder: Path, digests: Mapping[str, str]) -> Champion:
    """The champion that training starts from: the one that the cache's key says."""
    version = newest_version(folder)
    champion = Champion.read(version, digests)
    # Another one may have been published or rolled back before it was read.
    check_state(folder, run.parameters[CHAMPION_KEY], version.name if version else None)
    return champion


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
