"""The page: whole in one file, nothing in it taken for HTML, and there however a run ended."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality, write_quality
from tfx_fusion.modules.report import page
from tfx_fusion.modules.report.blocks import (
    Example,
    Examples,
    Folded,
    Picture,
    Section,
    Table,
    Text,
)
from tfx_fusion.modules.report.page import SECTIONS, render, write_report
from tfx_fusion.modules.report.record import StepRecord
from tfx_fusion.modules.report.summaries import EvaluationSummary
from tfx_fusion.modules.spec import Card, Specification

HOSTILE = "<script>alert('&')</script>\"><img src=x onerror=alert(1)>"


class Read(HTMLParser):
    """A page as a browser takes it: its elements, and all its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def read(folder: Path) -> Read:
    return Read(write_report(folder).path.read_text())


def check_self_contained(found: Read) -> None:
    """No element leads out of the page, and nothing in it runs."""
    for tag, attributes in found.elements:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base")
        assert not [name for name in attributes if name.startswith("on")]
        assert (attributes.get("href") or "#").startswith("#")
        assert (attributes.get("src") or "data:image/").startswith("data:image/")
    [policy] = [m["content"] for m in found.all("meta") if "http-equiv" in m]
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


def test_hostile_text_stays_text_wherever_it_stands() -> None:
    blocks = [
        Text(HOSTILE),
        Table(HOSTILE, [HOSTILE, HOSTILE], [[HOSTILE, HOSTILE]]),
        Picture("data:image/png;base64,", HOSTILE),
        Folded(HOSTILE, HOSTILE),
        Examples(HOSTILE, [Example(HOSTILE, [], [(HOSTILE, HOSTILE)], HOSTILE, HOSTILE)]),
    ]
    html = render(HOSTILE, HOSTILE, [Section("a", HOSTILE, blocks)])
    found = Read(html)
    check_self_contained(found)
    assert "<script" not in html
    # Title, heading, run twice; section twice; text, table, details and example.
    assert found.text.count(HOSTILE) == 4 + 2 + 1 + 5 + 2 + 6
    [image] = found.all("img")
    assert image["alt"] == HOSTILE


def test_every_picture_has_a_text_and_every_link_leads_somewhere(
    write_run: Callable[..., Path],
) -> None:
    found = read(write_run())
    check_self_contained(found)
    names = [section["id"] for section in found.all("section")]
    assert [link["href"] for link in found.all("a")] == [f"#{name}" for name in names]
    assert len(set(names)) == len(names) == len(SECTIONS)
    assert found.all("html") == [{"lang": "en"}]
    assert all(image["alt"] for image in found.all("img"))


def test_the_style_loads_nothing(write_run: Callable[..., Path]) -> None:
    html = write_report(write_run()).path.read_text()
    style = html.partition("<style>")[2].partition("</style>")[0]
    assert "prefers-color-scheme: dark" in style
    assert "url(" not in style
    assert "@import" not in style


def test_a_run_that_failed_early_shows_the_error_and_what_there_is(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    rejected = tmp_path / "rejected_rows.csv"
    with rejected.open("w", newline="") as stream:
        rows = [[f"row {n}", "colour", f"found {HOSTILE}"] for n in range(40)]
        csv.writer(stream).writerows([["row", "column", "reason"], *rows])
    step = StepRecord(name="Rows", component="ManifestExampleGen", status="failed", seconds=1.5)
    folder = write_run(
        error="40 rows were rejected",
        steps=[step],
        rejected={"rows": 40, "files": [str(rejected)]},
    )
    written = write_report(folder)
    found = Read(written.path.read_text())
    check_self_contained(found)
    assert written.lacking == []
    assert "40 rows were rejected, by column: colour 40." in found.text
    assert f"found {HOSTILE}" in found.text
    assert "the first 25 of 40" in found.text
    assert "row 24" in found.text
    assert "row 25" not in found.text
    assert found.text.count("The run ended before a model was trained.") == 3
    assert found.text.count("The run ended before the evaluation.") == 2


def test_a_missed_bound_is_shown_with_its_interval_and_the_champion(
    write_run: Callable[..., Path], tmp_path: Path
) -> None:
    line = Line(
        output="colour", metric="accuracy", rows=50, value=0.5, interval=(0.4, 0.6),
        champion=0.75, change=-0.25, bounds=(Bound(text="≥ 0.7", met=False),),
    )  # fmt: skip
    sliced = line.model_copy(update={"slice": {"kind": "x"}, "rows": 7, "bounds": ()})
    alone = line.model_copy(update={"of": "vision alone", "champion": None, "bounds": ()})
    missed = "colour.accuracy is 0.5000, at least 0.7 is needed"
    quality = Quality(confidence=0.95, lines=(line, sliced, alone), missed=(missed,))
    write_quality(quality, tmp_path / "evaluation")
    step = StepRecord(
        name="Evaluate", component="FusionEvaluator", status="done", seconds=1.5,
        summary=EvaluationSummary(metrics=quality.overall()),
        outputs={"evaluation": str(tmp_path / "evaluation")},
    )  # fmt: skip
    folder = write_run(status="not published", error=f"not published: {missed}", steps=[step])

    text = re.sub(r"\s+", " ", read(folder).text)

    assert f"Missed: {missed}" in text
    assert "Evaluate done 1.5 colour.accuracy 0.5000" in text
    assert "colour accuracy 50 0.5000 0.4000 to 0.6000 0.7500 -0.2500 ≥ 0.7 fail" in text
    assert "colour accuracy kind x 7 0.5000 0.4000 to 0.6000 0.7500 -0.2500" in text
    assert "colour accuracy vision alone 50 0.5000 0.4000 to 0.6000" in text


@pytest.mark.parametrize("given", [True, False])
def test_the_card_shows_what_is_given_and_what_is_not(
    write_run: Callable[..., Path], several: Specification, given: bool
) -> None:
    specification = several
    if given:
        licensed = specification.submodels["vision"].model_copy(update={"licence": "MIT"})
        update = {
            "card": Card(intended_use="to sort marbles", limits="no glass"),
            "submodels": {"vision": licensed},
        }
        specification = specification.model_copy(update=update)
    text = re.sub(r"\s+", " ", read(write_run(specification)).text)
    words = ("to sort marbles", "no glass", "MIT") if given else ("not given",) * 3
    assert f"intended use {words[0]} limits {words[1]}" in text
    assert f"vision the shop next door {words[2]}" in text


def test_the_lineage_holds_every_digest(write_run: Callable[..., Path]) -> None:
    text = read(write_run()).text
    assert "f" * 64 in text
    assert "d" * 64 in text
    assert '"separator": ";"' in text  # the specification, as it was resolved


def test_the_file_that_was_read_is_shown_whatever_the_specification_names(
    write_run: Callable[..., Path], several: Specification, tmp_path: Path
) -> None:
    named = several.data.model_copy(update={"path": Path("/compiled/for/rows.csv")})

    found = read(write_run(several.model_copy(update={"data": named})))

    assert f"Read from {tmp_path / 'rows.csv'}." in found.text


def test_a_section_that_cannot_be_made_leaves_the_others(
    write_run: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(run: object) -> Section:
        raise OSError("the disk is gone")

    monkeypatch.setitem(page.SECTIONS, "Data", broken)
    folder = write_run()
    written = write_report(folder)
    assert written.lacking == ["'Data': OSError: the disk is gone"]
    text = Read(written.path.read_text()).text
    assert "This section could not be made: OSError: the disk is gone" in text
    assert "Model card" in text
    assert [file.name for file in folder.glob(".*")] == []
