"""ChampionResolver's work."""

from pathlib import Path

from tfx.dsl.components.base import base_executor
from tfx.utils import path_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import describe_champion
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.champion import Champion, champion_state, copy_champion
from tfx_fusion.modules.report.summaries import ChampionSummary
from tfx_fusion.modules.spec.views import TaskView

FOLDER_KEY = "publish_folder"
STATE_KEY = "champion_state"  # `state` is a key of InteractiveContext's own
TASK_KEY = "task"
CHAMPION_KEY = "champion"

NO_CHAMPION_STATE = "none"
NO_CHAMPION_FILE = "no_champion.txt"


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Copies the last published model, or leaves a mark that there is none."""

    def execute(self, run: Execution) -> ChampionSummary:
        folder = Path(run.parameters[FOLDER_KEY])
        artifact = run.output(CHAMPION_KEY)
        target = Path(path_utils.serving_model_dir(artifact.uri))

        champion = copy_champion(folder, run.parameter(TASK_KEY, TaskView), target)
        check_state(folder, run.parameters[STATE_KEY], champion)
        describe_champion(artifact, champion)
        if champion is None:
            # Kubeflow uploads no empty folder.
            text = f"No model has been published to {folder} yet.\n"
            write_text(Path(artifact.uri, NO_CHAMPION_FILE), text)
            return ChampionSummary()
        return ChampionSummary(version=champion.version, not_comparable=champion.not_comparable)


def check_state(folder: Path, seen: str, copied: Champion | None) -> None:
    """Raises RunError where another champion was copied than the cache's key says.

    `seen` is its state when the run began; empty where nobody could see it.
    """
    version = copied.version if copied else NO_CHAMPION_STATE
    if seen and (seen.split()[0] != version or seen != current_state(folder)):
        raise RunError(
            f"{folder}: another model was published or rolled back since the run began: run again"
        )


def current_state(folder: Path) -> str:
    """The state of the champion of a publish folder, which is never empty."""
    return champion_state(folder) or NO_CHAMPION_STATE
