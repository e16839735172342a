"""Components in TFX's InteractiveContext, which runs one at a time in a notebook."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
from tfx.orchestration import metadata
from tfx.types.component_spec import ComponentSpec

import tfx_fusion.components

pytestmark = pytest.mark.component
ROOT = Path(tfx_fusion.components.__path__[0])
NAMES = sorted(path.parent.name for path in ROOT.glob("*/component.py"))


def test_no_parameter_has_a_name_that_the_context_keeps_for_itself() -> None:
    specs = {
        spec
        for name in NAMES
        for spec in vars(import_module(f"tfx_fusion.components.{name}.component")).values()
        if isinstance(spec, type) and issubclass(spec, ComponentSpec) and spec is not ComponentSpec
    }
    assert len(specs) >= 9
    for spec in specs:
        assert not metadata._EXECUTION_TYPE_RESERVED_KEYS & spec.PARAMETERS.keys(), spec


RUN = """\
import sys
from IPython.core.interactiveshell import InteractiveShell
InteractiveShell.instance()
import apache_beam
from pathlib import Path
from tfx.orchestration.experimental.interactive.interactive_context import InteractiveContext
from tfx_fusion.components.champion_resolver.component import ChampionResolver
from tfx_fusion.components.submodel_importer.component import SubmodelImporter
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.spec.views import TaskView
from tfx_fusion.modules.submodels.inspection import inspect_submodel

file, root = map(Path, sys.argv[1:])
path = file.parent / "models" / "vision.keras"
context = InteractiveContext(pipeline_name="colours", pipeline_root=str(root))
for component in (
    SubmodelImporter("vision", str(path), inspect_submodel(path).digest),
    ChampionResolver(root / "serving", "", TaskView.of(load_specification(file))),
):
    context.run(component)
    print([artifact.uri for key in component.outputs for artifact in component.outputs[key].get()])
"""


def test_the_context_runs_a_component_and_has_its_artifact(
    shared_world: Path, tmp_path: Path
) -> None:
    pytest.importorskip("nbformat", reason="the context imports it")
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(shared_world / "fusion.yaml"), str(tmp_path)],
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"['{tmp_path}/SubmodelImporter/submodel/1']",
        f"['{tmp_path}/ChampionResolver/champion/2']",
    ]
