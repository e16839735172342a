"""What tests of components share. TFX takes long to import, so it is imported where it is used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tfx_fusion.modules.spec import Specification


@pytest.fixture(scope="session")
def run_trainer(shared_training_inputs: Any) -> Callable[..., dict[str, Any]]:
    """Runs FusionTrainer's executor on imported copies; returns the artifacts that it filled."""

    def run(
        specification: Specification,
        folder: Path,
        champion: Path | None = None,
        stages: Any = None,
        embeddings: Any = (),
    ) -> dict[str, Any]:
        from tfx.types import artifact_utils, standard_artifacts

        from tfx_fusion.components.artifacts import Submodel, TrainingRecord
        from tfx_fusion.components.champion_resolver.executor import current_state
        from tfx_fusion.components.channels import submodel_key
        from tfx_fusion.components.fusion_trainer import executor
        from tfx_fusion.modules.embedding.plan import StagePlan
        from tfx_fusion.modules.spec.views import training_view
        from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel

        warm = specification.training.warm_start is not None
        serving = champion.parent if champion else folder / "nothing published"
        raw = StagePlan(plan=None)
        stages = stages or [raw for _ in specification.training.stages]
        inputs: dict[str, Any] = {
            executor.EXAMPLES_KEY: standard_artifacts.Examples(),
            executor.TRANSFORM_KEY: standard_artifacts.TransformGraph(),
        }
        inputs[executor.EXAMPLES_KEY].split_names = artifact_utils.encode_split_names(
            list(shared_training_inputs.splits)
        )
        inputs[executor.EXAMPLES_KEY].uri = str(shared_training_inputs.splits["train"].parent)
        inputs[executor.TRANSFORM_KEY].uri = str(shared_training_inputs.transform_graph)
        for name, (_, path) in specification.imported().items():
            submodel = Submodel()
            submodel.uri = str(folder / "imported" / name)
            inspection = inspect_submodel(path)
            submodel.set_string_custom_property("interface", inspection.interface.model_dump_json())
            submodel.set_string_custom_property("digest", inspection.digest)
            copy_submodel(path, Path(submodel.uri))
            inputs[submodel_key(name)] = submodel
        for position, artifact in enumerate(embeddings):
            inputs[executor.embeddings_key(position)] = artifact
        outputs = {
            executor.MODEL_KEY: standard_artifacts.Model(),
            executor.RECORD_KEY: TrainingRecord(),
        }
        for key, artifact in outputs.items():
            artifact.uri = str(folder / key)
        executor.Executor().Do(
            {key: [artifact] for key, artifact in inputs.items()},
            {key: [artifact] for key, artifact in outputs.items()},
            {
                executor.SPECIFICATION_KEY: training_view(specification).model_dump_json(),
                executor.STAGES_KEY: executor.STAGES.dump_json(stages).decode(),
                executor.CHECKPOINTS_KEY: str(folder / "checkpoints"),
                executor.PUBLISH_FOLDER_KEY: str(serving) if warm else "",
                executor.CHAMPION_KEY: current_state(serving) if warm else "",
            },
        )
        return outputs

    return run
