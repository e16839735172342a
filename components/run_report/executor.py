"""RunReport's work."""

from pydantic import BaseModel, TypeAdapter
from tfx.dsl.components.base import base_executor

from tfx_fusion.components.base import Execution, StepExecutor, summary_of
from tfx_fusion.components.channels import described_data
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.report.finished import KEPT_AS_KEY, REPORT_FILE, FinishedRun
from tfx_fusion.modules.report.page import write_page
from tfx_fusion.modules.report.record import RUN_FILE, RunRecord, StepRecord

STEPS_KEY = "steps"
PROVENANCE_KEY = "provenance"
RUN_KEY = "run"
REPORT_KEY = "report"
RECORD_KEY = "run_record"


class StepInputs(BaseModel):
    """A step of the pipeline: for each of its outputs, the input of the report that it is."""

    name: str
    component: str
    inputs: dict[str, str]


STEPS = TypeAdapter(list[StepInputs])


class Executor(StepExecutor, base_executor.BaseExecutor):
    """Writes `run.json` as a run on one machine does, then the page."""

    def execute(self, run: Execution) -> None:
        steps = STEPS.validate_json(run.parameters[STEPS_KEY])
        rows = next(step.inputs["examples"] for step in steps if "examples" in step.inputs)
        known = run.parameter(PROVENANCE_KEY, Provenance)
        provenance = known.of_run(run.parameters[RUN_KEY], described_data(run.input(rows)))
        record = RunRecord(
            name=provenance.specification["name"],
            steps=[_record(step, run) for step in steps],
            report=REPORT_FILE,
        )
        record.conclude()

        record.write(run.output_folder(RECORD_KEY))
        write_page(FinishedRun(provenance.run, record, provenance), run.output_folder(REPORT_KEY))
        run.output(RECORD_KEY).set_string_custom_property(KEPT_AS_KEY, RUN_FILE)
        run.output(REPORT_KEY).set_string_custom_property(KEPT_AS_KEY, REPORT_FILE)


def _record(step: StepInputs, run: Execution) -> StepRecord:
    """A step that ended well. How long it took is known outside of it only."""
    artifacts = {key: run.input(name) for key, name in step.inputs.items()}
    return StepRecord(
        name=step.name,
        component=step.component,
        status="done",
        summary=summary_of(artifacts.values()),
        outputs={key: artifact.uri for key, artifact in artifacts.items()},
    )
