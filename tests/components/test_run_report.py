"""RunReport: what it reads of a run; that the page is whole is shown in `tests/kubeflow`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tfx_fusion.modules.report.summaries import RowsSummary

pytestmark = pytest.mark.component


def test_it_reads_what_the_page_shows_and_leaves_the_rest_where_it_is(tmp_path: Path) -> None:
    from tfx_fusion.components.manifest_example_gen.component import ManifestExampleGen
    from tfx_fusion.components.run_report.component import RunReport
    from tfx_fusion.components.submodel_importer.component import SubmodelImporter
    from tfx_fusion.modules.data.source import RowSource
    from tfx_fusion.modules.registry.version_record import DataSource, Provenance

    source = RowSource.model_validate(
        {
            "data": {"path": str(tmp_path / "rows.csv"), "split": {"column": "split"}},
            "features": {"size": {"type": "number", "column": "size"}},
            "labels": {"kind": {"type": "category", "column": "kind", "classes": ["a", "b"]}},
        }
    )
    rows = ManifestExampleGen(source, "f1").with_id("Rows")
    importer = SubmodelImporter("vision", "v.keras", "d1").with_id("Import-vision")
    provenance = Provenance(
        run="7", specification={}, data=DataSource(path="", fingerprint=""), submodels={}
    )

    report = RunReport([rows, importer], provenance)

    # The schema is the specification's own, and the page does not show it.
    assert set(report.inputs) == {"Rows_examples", "Rows_rejected_rows", "Import_vision_submodel"}
    assert json.loads(report.exec_properties["steps"])[1] == {
        "name": "Import-vision",
        "component": "SubmodelImporter",
        "inputs": {"submodel": "Import_vision_submodel"},
    }
    assert report.exec_properties["run"] == "7"
    assert "run" not in json.loads(report.exec_properties["provenance"])


@pytest.mark.parametrize("cluster", [False, True], ids=["here", "on a cluster"])
def test_a_summary_is_read_back_from_any_output(cluster: bool, tmp_path: Path) -> None:
    from tfx_fusion.components.artifacts import RejectedRows
    from tfx_fusion.components.base import SUMMARY_KEY, Execution, StepExecutor, summary_of

    summary = RowsSummary(train=3, eval=2, rejected=1)

    class Executor(StepExecutor):
        def execute(self, run: Execution) -> RowsSummary:
            return summary

    first, other = RejectedRows(), RejectedRows()
    first.uri, other.uri = str(tmp_path / "a"), str(tmp_path / "b")
    Executor().Do({}, {"a": [first], "b": [other]}, {})
    if cluster:  # Kubeflow gives all properties as JSON values
        text = first.get_string_custom_property(SUMMARY_KEY)
        sent, first = RejectedRows(), RejectedRows()
        sent.set_json_value_custom_property(SUMMARY_KEY, text)
        first.set_mlmd_artifact(sent.mlmd_artifact)

    assert summary_of([first]) == summary_of([RejectedRows(), other]) == summary
    assert summary_of([RejectedRows()]) is None
