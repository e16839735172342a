"""Report: the record and the page of a run, made inside the pipeline where it runs on a cluster."""

from collections.abc import Iterable

from tfx.dsl.components.base import base_component, executor_spec
from tfx.dsl.components.base.base_node import BaseNode
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import ReportPage, RunRecordFile
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.run_report import executor
from tfx_fusion.components.run_report.executor import STEPS, StepInputs
from tfx_fusion.modules.registry.version_record import Provenance

# Large, and the page shows nothing of them.
LEFT_OUT = ("transform_graph", "embeddings", "schema")


class RunReportSpec(ComponentSpec):
    """Each pipeline adds an input channel for each output of a step that the page shows."""

    PARAMETERS = texts(executor.STEPS_KEY, executor.PROVENANCE_KEY, executor.RUN_KEY)
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {
        executor.REPORT_KEY: ChannelParameter(type=ReportPage),
        executor.RECORD_KEY: ChannelParameter(type=RunRecordFile),
    }


class RunReport(base_component.BaseComponent):
    """Writes the record and the page of a run whose steps all ended well.

    A run on one machine writes both itself, when steps have failed too.
    """

    SPEC_CLASS = RunReportSpec
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(executor.Executor)

    def __init__(self, nodes: Iterable[BaseNode], provenance: Provenance) -> None:
        """
        Args:
            nodes: the steps, in their order.
            provenance: what the model comes from.
        """
        steps, channels = [], {}
        for node in nodes:
            inputs = {
                key: f"{node.id}_{key}".replace("-", "_")
                for key in node.outputs
                if key not in LEFT_OUT
            }
            channels.update({name: node.outputs[key] for key, name in inputs.items()})
            steps.append(StepInputs(name=node.id, component=type(node).__name__, inputs=inputs))
        declared = {name: ChannelParameter(type=given.type) for name, given in channels.items()}
        spec = type("RunReportSpec", (RunReportSpec,), {"INPUTS": declared})
        values = {
            executor.STEPS_KEY: STEPS.dump_json(steps).decode(),
            executor.PROVENANCE_KEY: provenance.model_dump_json(exclude={"run"}),
            executor.RUN_KEY: provenance.run,
            **channels,
        }
        super().__init__(filled(spec, values))
