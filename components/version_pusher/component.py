"""Publish: a blessed model becomes the newest version that TF Serving watches."""

from __future__ import annotations

import json
from pathlib import Path

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter
from tfx.types.standard_component_specs import PusherSpec

from tfx_fusion.components.artifacts import DataGateReport
from tfx_fusion.components.channels import filled, texts, with_inputs
from tfx_fusion.components.data_source import examples_before, place_of
from tfx_fusion.components.version_pusher import executor
from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.registry.version_record import Provenance


class VersionPusherSpec(ComponentSpec):
    """Pusher's channels, and what the version record holds beside.

    Each pipeline adds an input channel for each ExampleGen that the model came from.
    """

    PARAMETERS = {
        **texts(
            executor.FOLDER_KEY,
            executor.PROVENANCE_KEY,
            executor.RUN_KEY,
            executor.PLACES_KEY,
            executor.CONNECTED_KEY,
        ),
        executor.KEEP_KEY: ExecutionParameter(type=int),
    }
    INPUTS = {
        **PusherSpec.INPUTS,
        executor.EVALUATION_KEY: ChannelParameter(
            type=standard_artifacts.ModelEvaluation, optional=True
        ),
        executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
        executor.GATE_KEY: ChannelParameter(type=DataGateReport, optional=True),
    }
    OUTPUTS = PusherSpec.OUTPUTS


class VersionPusher(base_component.BaseComponent):
    """Pusher, whose version appears whole with its version record.

    The run's name is part of what a model came from, so TFX's cache never answers for it: what
    lies in the publish folder, and may be deleted or rolled back there, the cache cannot see. A
    model that is served already is not published twice.

    **Example**, behind TFX's own components:

        VersionPusher(
            "serving",
            model=trainer.outputs["model"],
            model_blessing=evaluator.outputs["blessing"],
        )
    """

    SPEC_CLASS = VersionPusherSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        publish_folder: Path | str,
        model_blessing: types.BaseChannel,
        model: types.BaseChannel | None = None,
        infra_blessing: types.BaseChannel | None = None,
        evaluation: types.BaseChannel | None = None,
        champion: types.BaseChannel | None = None,
        data_gate: types.BaseChannel | None = None,
        examples: types.BaseChannel | None = None,
        provenance: Provenance | None = None,
        keep: int | None = None,
    ) -> None:
        """
        Args:
            publish_folder: the folder of TF Serving's version folders.
            model_blessing: an Evaluator's.
            model: the model that was blessed; unless given, `infra_blessing` holds it.
            infra_blessing: a ServingCheck's or InfraValidator's, which must be one too then.
            evaluation: what the Evaluator measured, for the version record.
            champion: the model that the Evaluator compared it with, of a ChampionResolver or any
                other resolver. It must be the one that is served; unless given, that is not
                checked.
            data_gate: DataGate's, with the statistics to keep beside the model.
            examples: those that the model came from; found in the pipeline unless given, or where
                a gate has checked them.
            provenance: what the model came from; unless given, the model itself says it.
            keep: how many versions to keep in the folder; None keeps all.

        Raises SpecificationError where neither `model` nor `infra_blessing` is given.
        """
        source = model or infra_blessing
        if source is None:
            raise SpecificationError(
                "model: expected a channel of a model to publish, or of an infra blessing that "
                "holds one, found neither"
            )
        found = [examples] if examples else [] if data_gate else examples_before(source)
        channels = {executor.examples_key(place): one for place, one in enumerate(found)}
        connected = {
            executor.INFRA_BLESSING_KEY: infra_blessing,
            executor.CHAMPION_KEY: champion,
        }
        values = {
            executor.FOLDER_KEY: str(publish_folder),
            executor.KEEP_KEY: keep or 0,
            executor.PROVENANCE_KEY: provenance.model_dump_json(exclude={"run"})
            if provenance
            else "",
            executor.RUN_KEY: provenance.run if provenance else "",
            executor.PLACES_KEY: json.dumps([place_of(one) for one in found]),
            executor.CONNECTED_KEY: json.dumps([key for key, one in connected.items() if one]),
            executor.MODEL_KEY: model,
            executor.MODEL_BLESSING_KEY: model_blessing,
            executor.EVALUATION_KEY: evaluation,
            executor.GATE_KEY: data_gate,
            **connected,
            **channels,
        }
        spec = with_inputs(VersionPusherSpec, channels, standard_artifacts.Examples)
        super().__init__(filled(spec, values))
