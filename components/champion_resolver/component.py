"""Compare: a copy of the last published model, for the Evaluator to measure the candidate by."""

from __future__ import annotations

from pathlib import Path

from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import channel_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from tfx_fusion.components.champion_resolver import executor
from tfx_fusion.modules.spec.views import TaskView


class ChampionResolverSpec(ComponentSpec):
    """The champion's state is a parameter, so that TFX's cache sees a new one."""

    PARAMETERS = {
        executor.FOLDER_KEY: ExecutionParameter(type=str),
        executor.STATE_KEY: ExecutionParameter(type=str),
        executor.TASK_KEY: ExecutionParameter(type=str),
    }
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model)}


class ChampionResolver(base_component.BaseComponent):
    """Finds the newest version in a publish folder.

    An ordinary component, since open-source Kubeflow knows no resolver nodes. Its
    artifact's property `model_exists` is 1 where there is a model in it.
    """

    SPEC_CLASS = ChampionResolverSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, publish_folder: Path, state: str, task: TaskView) -> None:
        """
        Args:
            publish_folder: the folder of TF Serving's version folders.
            state: what the champion is (`executor.current_state`); empty where it cannot be seen
                before the component runs.
            task: what the candidate predicts, and from what.
        """
        super().__init__(
            spec=ChampionResolverSpec(
                **{
                    executor.FOLDER_KEY: str(publish_folder),
                    executor.STATE_KEY: state,
                    executor.TASK_KEY: task.model_dump_json(),
                    executor.CHAMPION_KEY: channel_utils.as_channel([standard_artifacts.Model()]),
                }
            )
        )
