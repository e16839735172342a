"""FusionWorthGen's work."""

from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.components.fusion_trainer.executor import STAGES, given_embeddings
from tfx_fusion.modules.evaluation.ablation import write_ablation
from tfx_fusion.modules.evaluation.measure_ablation import measure_ablation
from tfx_fusion.modules.report.summaries import AblationSummary, Gain
from tfx_fusion.modules.spec import Fusion

SPECIFICATION_KEY = "specification"
STAGES_KEY = "stages"
EXAMPLES_KEY = "examples"
TRANSFORM_KEY = "transform_graph"
MODEL_KEY = "model"
WORTH_KEY = "worth"


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Collects the inputs' places and hands them to the evaluation module."""

    def execute(self, run: Execution) -> AblationSummary:
        specification = run.parameter(SPECIFICATION_KEY, Fusion)
        bound = run.parameter(BINDING_KEY, Binding)
        stages = STAGES.validate_json(run.parameters[STAGES_KEY])
        submodels = run.submodels(specification.imported())

        ablation = measure_ablation(
            specification,
            submodels.interfaces,
            submodels.folders,
            transform_path=run.transform_path(TRANSFORM_KEY),
            splits=run.named_splits(EXAMPLES_KEY, bound.splits),
            stages=stages,
            embeddings=given_embeddings(run, stages),
            model=Path(path_utils.serving_model_dir(run.input(MODEL_KEY).uri)),
            names=bound.names,
        )
        write_ablation(ablation, run.output_folder(WORTH_KEY))
        return AblationSummary(
            gains=tuple(
                Gain(output=best.output, metric=best.metric, branch=best.branch, gain=best.gain)
                for best in ablation.best()
            )
        )
