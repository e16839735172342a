"""ChampionResolver's work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils
from tfx.utils import path_utils

from tfx_fusion.components.champion_channel import describe
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.champion import copy_champion
from tfx_fusion.modules.spec.views import TaskView

FOLDER_KEY = "publish_folder"
STATE_KEY = "state"
TASK_KEY = "task"
CHAMPION_KEY = "champion"

NO_CHAMPION_FILE = "no_champion.txt"


class Executor(base_executor.BaseExecutor):
    """Copies the last published model, or leaves a mark that there is none."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        folder = Path(exec_properties[FOLDER_KEY])
        task = TaskView.model_validate_json(exec_properties[TASK_KEY])
        artifact = artifact_utils.get_single_instance(output_dict[CHAMPION_KEY])

        champion = copy_champion(folder, task, Path(path_utils.serving_model_dir(artifact.uri)))
        describe(artifact, champion)
        if champion is None:
            # Kubeflow uploads no empty folder.
            text = f"No model has been published to {folder} yet.\n"
            write_text(Path(artifact.uri, NO_CHAMPION_FILE), text)
