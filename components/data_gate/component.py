"""Data gate: nothing is trained on data that do not keep the specification's limits."""

from tfx import types
from tfx.dsl.components.base import base_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import DataGateReport
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.data_gate import executor
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import Specification


class DataGateSpec(ComponentSpec):
    """The limits are parameters of this component only: a new one reruns no other."""

    PARAMETERS = texts(executor.SOURCE_KEY, executor.CHECKS_KEY)
    INPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.STATISTICS_KEY: ChannelParameter(type=standard_artifacts.ExampleStatistics),
        executor.ANOMALIES_KEY: ChannelParameter(type=standard_artifacts.ExampleAnomalies),
        executor.CHAMPION_KEY: ChannelParameter(type=standard_artifacts.Model),
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
        specification: Specification,
        examples: types.BaseChannel,
        statistics: types.BaseChannel,
        anomalies: types.BaseChannel,
        champion: types.BaseChannel,
    ) -> None:
        """
        Args:
            specification: what the rows are, with the limits in `data.checks`.
            examples: raw tf.Examples, splits `train` and `eval`.
            statistics: StatisticsGen's over them.
            anomalies: ExampleValidator's.
            champion: the last published model, of a ChampionResolver.
        """
        values = {
            executor.SOURCE_KEY: RowSource.of(specification).model_dump_json(),
            executor.CHECKS_KEY: specification.data.checks.model_dump_json(),
            executor.EXAMPLES_KEY: examples,
            executor.STATISTICS_KEY: statistics,
            executor.ANOMALIES_KEY: anomalies,
            executor.CHAMPION_KEY: champion,
        }
        super().__init__(filled(DataGateSpec, values))
