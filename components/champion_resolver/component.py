"""Compare: a copy of the last published model, for the Evaluator to measure the candidate by."""

from pathlib import Path

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.champion_resolver import executor
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.modules.spec.views import TaskView


class ChampionResolverSpec(ComponentSpec):
    """The champion's state is a parameter, so that TFX's cache sees a new one."""

    PARAMETERS = texts(executor.FOLDER_KEY, executor.STATE_KEY, executor.TASK_KEY)
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model)}


class ChampionResolver(base_component.BaseComponent):
    """Finds the newest version in a publish folder.

    An ordinary component, since open-source Kubeflow knows no resolver nodes. Its
    artifact's property `model_exists` is 1 where there is a model in it.
    """

    SPEC_CLASS = ChampionResolverSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self, publish_folder: Path | str, state: str | None = None, task: TaskView | None = None
    ) -> None:
        """
        Args:
            publish_folder: the folder of TF Serving's version folders.
            state: what the champion is; looked up here unless given, empty where it cannot be seen
                before the component runs.
            task: what the candidate predicts, and from what (`TaskView.of(specification)`), by
                which a champion of another task is known. Without it, FusionEvaluator tries
                whether the champion can be measured.
        """
        seen = executor.current_state(Path(publish_folder)) if state is None else state
        values = {
            executor.FOLDER_KEY: str(publish_folder),
            executor.STATE_KEY: seen,
            executor.TASK_KEY: task.model_dump_json() if task else "",
        }
        super().__init__(filled(ChampionResolverSpec, values))
