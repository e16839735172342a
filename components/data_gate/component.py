"""Data gate: nothing is trained on data that do not keep their limits."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import DataGateReport
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.data_gate import executor
from tfx_fusion.components.data_source import place_of
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.spec import DataChecks, Feature, Label
from tfx_fusion.modules.spec.views import ColumnsView, features_in_rows, labels_in_rows


class DataGateSpec(ComponentSpec):
    """The limits are parameters of this component only: a new one reruns no other."""

    PARAMETERS = texts(
        executor.COLUMNS_KEY, executor.CHECKS_KEY, executor.SPLITS_KEY, executor.PLACES_KEY
    )
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.STATISTICS_KEY: ChannelParameter(type=standard_artifacts.ExampleStatistics),
        executor.ANOMALIES_KEY: ChannelParameter(
            type=standard_artifacts.ExampleAnomalies, optional=True
        ),
        executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model, optional=True),
    }
    OUTPUTS = {executor.GATE_KEY: ChannelParameter(type=DataGateReport)}


class DataGate(base_component.BaseComponent):
    """Fails on anomalies, on rows that leak from one split to the other, and on drift.

    What trains waits for it by `add_upstream_node` and reads nothing of it: a report made anew
    must not train anything again.
    """

    SPEC_CLASS = DataGateSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(
        self,
        features: Mapping[str, Feature],
        labels: Mapping[str, Label],
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        anomalies: types.BaseChannel | None = None,
        champion: types.BaseChannel | None = None,
        checks: DataChecks | None = None,
        splits: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            features, labels: what the rows hold; the feature of a tf.Example, and of the
                statistics, is the name here, or the column.
            examples: raw tf.Examples, as any ExampleGen writes them.
            statistics: StatisticsGen's over them.
            anomalies: ExampleValidator's; without them none are looked for.
            champion: the last published model, of a ChampionResolver; without one, drift is not
                measured.
            checks: the limits; those of a specification that names none unless given.
            splits: the names of the splits `train` and `eval` where they have others there.
        """
        columns = ColumnsView(features=features_in_rows(features), labels=labels_in_rows(labels))
        values = {
            executor.COLUMNS_KEY: columns.model_dump_json(),
            executor.CHECKS_KEY: (checks or DataChecks()).model_dump_json(),
            executor.SPLITS_KEY: json.dumps({**{name: name for name in SPLITS}, **(splits or {})}),
            executor.PLACES_KEY: json.dumps([place_of(examples)]),
            executor.EXAMPLES_KEY: examples,
            executor.STATISTICS_KEY: statistics,
            executor.ANOMALIES_KEY: anomalies,
            executor.CHAMPION_KEY: champion,
        }
        super().__init__(filled(DataGateSpec, values))
