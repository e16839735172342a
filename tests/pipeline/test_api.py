"""The Python API: every example of its documentation, and a notebook that uses it."""

from __future__ import annotations

import doctest
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import tfx_fusion
from tfx_fusion.pipeline import api

# In the order in which a user meets them: each builds on the one before.
DOCUMENTED = ("load", "validate", "run", "runs", "open")


def test_the_package_exports_what_is_documented_and_imports_nothing_before_it_is_used() -> None:
    code = (
        "import sys, tfx_fusion\n"
        "assert {'load', 'open', 'spec'} <= set(dir(tfx_fusion))\n"
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('pydantic', 'rich', 'numpy', 'keras') or name.startswith('tfx_fusion.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    found = {name: getattr(tfx_fusion, name) for name in tfx_fusion.__all__}
    assert all(one.__doc__ for one in found.values() if not isinstance(one, ModuleType)), found
    assert set(DOCUMENTED) <= set(tfx_fusion.__all__)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        tfx_fusion.lod  # noqa: B018


@pytest.fixture(scope="module")
def folder(copy_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A world in which the examples of the documentation have run, as they stand there."""
    world = copy_world(tmp_path_factory.mktemp("api") / "world")
    finder = doctest.DocTestFinder(recurse=False)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    texts: list[str] = []
    before = Path.cwd()
    os.chdir(world)
    try:
        for name in DOCUMENTED:
            known = {"tfx_fusion": tfx_fusion, "seen": []}
            [example] = finder.find(getattr(api, name), name, globs=known)
            assert example.examples, name
            runner.run(example, out=texts.append)
    finally:
        os.chdir(before)
    assert not runner.failures, "".join(texts)
    return world


@pytest.mark.end_to_end
def test_the_examples_of_the_documentation_give_what_they_say(folder: Path) -> None:
    run = tfx_fusion.runs(folder / "runs")[0]
    assert run.published is not None
    assert run.published.parent == folder / "serving"
    assert run.model is not None
    assert (run.model / "saved_model.pb").is_file()
    assert run.log is not None
    assert run.report is not None
    assert run.outputs["Train"]["model"] == run.model.parent
    # What the libraries wrote, to which a notebook's cells must not be given.
    assert "tensorflow" in run.log.read_text()


CELLS = """\
import asyncio, logging, os, sys, tfx_fusion
assert asyncio.get_running_loop()
logging.basicConfig(level=logging.INFO)
before = sorted(sys.modules), os.environ.copy()
---
tfx_fusion.validate("fusion.yaml")
---
specification = tfx_fusion.load("fusion.yaml")
statuses = []
run = tfx_fusion.run(specification, on_step=lambda step: statuses.append(step.status))
---
run
---
from pathlib import Path
for number in range(9):
    Path(f"data/images/{number}.png").write_bytes(b"")
tfx_fusion.run("fusion.yaml")
---
print(sorted(set(statuses)), run.status, os.environ.copy() == before[1])
print([name for name in ("keras", "tensorflow", "tfx") if name in sys.modules])
[failed] = [one for one in tfx_fusion.runs() if one.status == "failed"]
print([step.name for step in failed.steps if step.status == "failed"], failed.rejected.rows)
---
tfx_fusion.run("none.yaml")
"""


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs of a cell, with what is printed in a row as one."""
    found: list[Any] = []
    for output in outputs:
        if found and output.get("name") == found[-1].get("name", ""):
            found[-1]["text"] += output["text"]
        else:
            found.append(output)
    return found


@pytest.mark.end_to_end
def test_a_notebook_shows_the_products_own_lines_and_no_others(folder: Path) -> None:
    """Run by Jupyter's own kernel, which shows whatever is written to its file descriptors."""
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    cells = [nbformat.v4.new_code_cell(cell.strip()) for cell in CELLS.split("---\n")]
    notebook = nbformat.v4.new_notebook(cells=cells)

    nbclient.NotebookClient(
        notebook, timeout=540, allow_errors=True, resources={"metadata": {"path": str(folder)}}
    ).execute()

    imported, checked, ran, shown, failed, after, wrong = (
        joined(cell.outputs) for cell in notebook.cells
    )
    assert imported == []
    assert "<img" in checked[0]["data"]["text/html"]
    lines, table, quality = ran
    assert [line.split()[0] for line in lines["text"].splitlines()] == ["checking", "run", "log"]
    assert table["data"]["text/html"].startswith("<details><summary>13 steps in ")
    assert [line.split()[0] for line in quality["text"].splitlines()] == [
        "output", "colour", "Warning:", "report",
    ]  # fmt: skip
    assert "<iframe" in shown[0]["data"]["text/html"]
    assert shown[0]["data"]["text/plain"].startswith("<Run ")
    lines, table, report, error = failed
    assert [line.split()[0] for line in lines["text"].splitlines()] == ["checking", "run", "log"]
    assert ">failed<" in table["data"]["text/html"]
    assert report["text"].startswith("report ")
    [text] = error["traceback"]
    assert text.startswith("RunError: step Rows failed: ")
    assert after[0]["text"].splitlines() == [
        "['done', 'reused', 'running'] published True", "[]", "['Rows'] 9",
    ]  # fmt: skip
    assert [one["traceback"] for one in wrong if one["output_type"] == "error"] == [
        ["SpecificationError: the specification is invalid", "  none.yaml: no such file"]
    ]
