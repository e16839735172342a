"""RunReport: what it reads of a run; that the page is whole is shown in `tests/kubeflow`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.component


def test_it_reads_what_the_page_tells_of_and_leaves_the_rest_where_it_is(tmp_path: Path) -> None:
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
    importer = SubmodelImporter("vision", "v.keras", "d1", None, [], None).with_id("Import-vision")
    provenance = Provenance(
        run="7", specification={}, data=DataSource(path="", fingerprint=""), submodels={}
    )

    report = RunReport([rows, importer], provenance)

    # The schema is the specification's own, and the page does not tell it.
    assert set(report.inputs) == {"Rows_examples", "Rows_rejected_rows", "Import_vision_submodel"}
    assert json.loads(report.exec_properties["stages"])[1] == {
        "name": "Import-vision",
        "component": "SubmodelImporter",
        "inputs": {"submodel": "Import_vision_submodel"},
    }
    assert report.exec_properties["run"] == "7"
    assert "run" not in json.loads(report.exec_properties["provenance"])


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [("told", "string_value", "told"), (3.0, "int_value", 3), (0.0, "int_value", 0)],
)
def test_properties_are_read_as_kubeflow_gives_them(given: Any, field: str, value: Any) -> None:
    from tfx_fusion.components.artifacts import Submodel
    from tfx_fusion.components.run_report.executor import _plain

    on_cluster, here = Submodel(), Submodel()
    on_cluster.set_json_value_custom_property("name", given)
    if isinstance(value, str):
        here.set_string_custom_property("name", value)
    else:
        here.set_int_custom_property("name", value)

    for artifact in (on_cluster, here):
        assert getattr(_plain(artifact).custom_properties["name"], field) == value
