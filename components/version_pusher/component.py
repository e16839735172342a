"""Publish: a blessed model becomes the newest version that TF Serving watches."""

from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import PusherSpec

from tfx_fusion.components.artifacts import DataGateReport
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.version_pusher import executor
from tfx_fusion.modules.registry.version_record import Provenance


class VersionPusherSpec(ComponentSpec):
    """Pusher's channels, and what the version record holds beside."""

    PARAMETERS = {
        **texts(executor.FOLDER_KEY, executor.PROVENANCE_KEY, executor.RUN_KEY),
        executor.KEEP_KEY: ExecutionParameter(type=int),
    }
    INPUTS = {
        **PusherSpec.INPUTS,
        executor.EVALUATION_KEY: ChannelParameter(type=standard_artifacts.ModelEvaluation),
        executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model),
        executor.GATE_KEY: ChannelParameter(type=DataGateReport),
    }
    OUTPUTS = PusherSpec.OUTPUTS


class VersionPusher(base_component.BaseComponent):
    """Pusher, whose version appears whole with its version record.

    The run's name is part of what a model came from, so TFX's cache never answers for it: what
    lies in the publish folder, and may be deleted or rolled back there, the cache cannot see. A
    model that is served already is not published twice.
    """

    SPEC_CLASS = VersionPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        publish_folder: Path,
        keep: int | None,
        provenance: Provenance,
        model_blessing: types.BaseChannel,
        infra_blessing: types.BaseChannel,
        evaluation: types.BaseChannel,
        champion: types.BaseChannel,
        data_gate: types.BaseChannel,
    ) -> None:
        """
        Args:
            publish_folder: the folder of TF Serving's version folders.
            keep: how many versions to keep there; None keeps all.
            provenance: what the model came from; the data that were read are the gate's.
            model_blessing: the Evaluator's.
            infra_blessing: ServingCheck's, which holds the model that was checked.
            evaluation: what the Evaluator measured.
            champion: the model that the Evaluator compared it with, of a ChampionResolver.
            data_gate: DataGate's, with the statistics to keep beside the model.
        """
        values = {
            executor.FOLDER_KEY: str(publish_folder),
            executor.KEEP_KEY: keep or 0,
            executor.PROVENANCE_KEY: provenance.model_dump_json(exclude={"run"}),
            executor.RUN_KEY: provenance.run,
            executor.MODEL_BLESSING_KEY: model_blessing,
            executor.INFRA_BLESSING_KEY: infra_blessing,
            executor.EVALUATION_KEY: evaluation,
            executor.CHAMPION_KEY: champion,
            executor.GATE_KEY: data_gate,
        }
        super().__init__(filled(VersionPusherSpec, values))
