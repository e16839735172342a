"""RunReport's work."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_metadata.proto import metadata_store_pb2
from tfx import types
from tfx.dsl.components.base import base_executor
from tfx.types import artifact_utils

from tfx_fusion.components import results
from tfx_fusion.components.data_channel import described_data
from tfx_fusion.modules.evaluation.quality import read_quality
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.registry.version_record import Provenance
from tfx_fusion.modules.report.finished import KEPT_AS_KEY, PROVENANCE_FILE, REPORT_FILE, RUN_FILE
from tfx_fusion.modules.report.page import write_report

STAGES_KEY = "stages"
PROVENANCE_KEY = "provenance"
RUN_KEY = "run"
REPORT_KEY = "report"


@dataclass(frozen=True)
class _Stage:
    name: str
    component: str
    artifacts: Mapping[str, metadata_store_pb2.Artifact]


class Executor(base_executor.BaseExecutor):
    """Writes `run.json` and `provenance.json` as a run on one machine does, then the page."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        page = artifact_utils.get_single_instance(output_dict[REPORT_KEY])
        folder = Path(page.uri)
        told = json.loads(exec_properties[STAGES_KEY])
        stages = {
            stage["name"]: _Stage(
                stage["name"],
                stage["component"],
                {key: _plain(input_dict[name][0]) for key, name in stage["inputs"].items()},
            )
            for stage in told
        }
        examples = next(s["inputs"]["examples"] for s in told if "examples" in s["inputs"])
        data = described_data(artifact_utils.get_single_instance(input_dict[examples]))
        known = Provenance.model_validate_json(exec_properties[PROVENANCE_KEY])
        provenance = known.of_run(exec_properties[RUN_KEY], data)

        write_text(folder / PROVENANCE_FILE, provenance.model_dump_json(indent=1) + "\n")
        record = run_record(provenance, stages)
        write_text(folder / RUN_FILE, json.dumps(record, indent=1) + "\n")
        write_report(folder)
        page.set_string_custom_property(KEPT_AS_KEY, REPORT_FILE)


def run_record(provenance: Provenance, stages: Mapping[str, _Stage]) -> dict[str, Any]:
    """What `run.json` says of a run whose stages all ended well.

    How long they took is known outside of them only.
    """
    quality = read_quality(Path(results.artifact(stages, "evaluation").uri))
    published, error = results.verdict(stages, quality)
    rejected, file = results.rejected(stages)
    return {
        "name": provenance.specification["name"],
        "status": "published" if published else "not published",
        "specification": "given to the pipeline",
        "log": "in each stage",
        "stages": [
            {
                "name": stage.name,
                "component": stage.component,
                "status": "done",
                "seconds": None,
                "saved": None,
                "made": results.made(stage),
                "outputs": {key: artifact.uri for key, artifact in stage.artifacts.items()},
            }
            for stage in stages.values()
        ],
        "metrics": quality.overall(),
        "quality": quality.model_dump(mode="json"),
        "published": published,
        "training_record": results.training_record(stages),
        "rejected": {"rows": rejected, "file": file},
        "error": error,
        "report": None,
    }


def _plain(artifact: types.Artifact) -> metadata_store_pb2.Artifact:
    """An artifact with plain properties: Kubeflow gives all of them as JSON values."""
    plain = metadata_store_pb2.Artifact(uri=artifact.uri)
    for name, property_ in artifact.mlmd_artifact.custom_properties.items():
        value = artifact.get_json_value_custom_property(name)
        if value is None:
            plain.custom_properties[name].CopyFrom(property_)
        elif isinstance(value, str):
            plain.custom_properties[name].string_value = value
        elif isinstance(value, int | float):
            plain.custom_properties[name].int_value = int(value)
    return plain
