"""What a notebook shows: HTML whose every text is escaped, and errors without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tfx_fusion.modules.graph.node_row import NodeRow
from tfx_fusion.modules.report.record import RunRecord
from tfx_fusion.modules.report.summaries import RowsSummary
from tfx_fusion.pipeline.check import Checked
from tfx_fusion.pipeline.notebook import LiveSteps, checked_html, run_html, steps_html
from tfx_fusion.pipeline.runs import Run
from tfx_fusion.pipeline.steps import Step

EVIL = "<script>alert('\"&')</script>"


class Page(HTMLParser):
    """The tags of a page, with their attributes, and its text in pieces."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def named(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.tags if tag == name]


def test_a_checked_specification_is_a_picture_and_a_table_of_shapes() -> None:
    checked = Checked.model_construct(
        specification=Named("colours"),
        nodes=(
            NodeRow("vision", "sub-model", "image", "features (6) float32", 0, 158),
            NodeRow(EVIL, EVIL, EVIL, EVIL, 1234, 0),
        ),
        stages={EVIL: EVIL},
        notes=(EVIL,),
        picture=f"<svg>{EVIL}</svg>",
    )

    page = Page(checked_html(checked))

    assert page.texts[:2] == ["colours", " is valid"]
    assert str(page.named("img")[0]["src"]).startswith("data:image/svg+xml;base64,")
    assert "features (6) float32" in page.texts
    assert page.texts[page.texts.index("all") :][:3] == ["all", "1,234", "158"]
    assert page.texts.count(EVIL) == 5
    assert not page.named("script")


class Named:
    """A specification of which only the name is shown."""

    def __init__(self, name: str) -> None:
        self.name = name


def test_a_run_is_its_steps_and_its_report_in_a_frame_that_runs_no_script(tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    report.write_text(f"<h1>the report</h1>{EVIL}")
    summary = RowsSummary(train=67, eval=23, rejected=0)
    steps = [
        Step(name="Rows", component="R", status="reused", seconds=0.1, seconds_saved=2.5,
             summary=summary),
        Step(name=EVIL, component="E", status="failed", seconds=1.25),
    ]  # fmt: skip
    record = RunRecord(
        name=EVIL, status="failed", error=EVIL, steps=steps, report=str(report), log=EVIL
    )

    page = Page(run_html(Run(tmp_path / EVIL.replace("/", "|"), record)))

    [frame] = page.named("iframe")
    assert frame["srcdoc"] == report.read_text()
    assert frame["sandbox"] == ""
    place = page.texts.index("Rows")
    assert page.texts[place : place + 5] == ["Rows", "reused", "0.1", "2.5", summary.text]
    assert page.texts[place + 5 : place + 8] == [EVIL, "failed", "1.2"]
    assert not page.named("script")
    report.unlink()
    assert not Page(run_html(Run(tmp_path, record))).named("iframe")


def test_a_running_step_shows_how_long_it_runs_and_how_far_it_is() -> None:
    step = Step(name="Train", component="T", status="running", note="epoch 2 of 3")
    step.started -= 5

    texts = Page(steps_html([step])).texts

    assert texts[-1] == "epoch 2 of 3"
    assert float(texts[-2]) > 5


class Handle:
    """A display of a notebook that remembers what it shows."""

    def update(self, html: object) -> None:
        self.shown = html.data  # type: ignore[attr-defined]


def test_the_table_is_folded_once_all_steps_have_ended_well() -> None:
    steps = {name: Step(name=name, component="C", status="done", seconds=2) for name in "ab"}
    live = LiveSteps(steps)
    live._handle = Handle()
    live.__exit__(None, None, None)
    assert Page(live._handle.shown).texts[0] == "2 steps in 4.0 s"
    assert Page(live._handle.shown).named("details") == [{}]
    steps["b"] = Step(name="b", component="C", status="failed")
    live.__exit__(None, None, None)
    assert not Page(live._handle.shown).named("details")


@pytest.mark.parametrize(
    ("code", "lines"),
    [
        (
            "load('none.yaml')",
            ["SpecificationError: the specification is invalid", "  none.yaml: no such file"],
        ),
        (
            "runs('none')",
            ["RunError: none: expected a folder of runs, found none; it is `runs` beside the "
             "specification unless another was given"],
        ),
    ],
)  # fmt: skip
def test_ipython_shows_a_users_mistake_without_a_traceback(
    code: str, lines: list[str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "-c", f"import tfx_fusion as f; f.{code}"],
        capture_output=True, text=True, cwd=tmp_path,
        env={**os.environ, "IPYTHONDIR": str(tmp_path / "ipython")},
    )  # fmt: skip
    assert done.stdout.splitlines() == lines, done.stderr
