"""The page, from a run's folder to one HTML file that needs no other."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tfx_fusion.modules.errors import first_line
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.report.blocks import Section, Text
from tfx_fusion.modules.report.data import data_section
from tfx_fusion.modules.report.finished import REPORT_FILE, FinishedRun
from tfx_fusion.modules.report.overview import (
    card_section,
    glance_section,
    lineage_section,
    stages_section,
)
from tfx_fusion.modules.report.quality import quality_section, worth_section
from tfx_fusion.modules.report.training import frozen_section, graph_section, training_section
from tfx_fusion.modules.report.wrong import wrong_section

log = logging.getLogger(__name__)

SECTIONS: dict[str, Callable[[FinishedRun], Section]] = {
    "At a glance": glance_section,
    "Model card": card_section,
    "Data": data_section,
    "Graph": graph_section,
    "Training": training_section,
    "Metrics": quality_section,
    "What each branch is worth": worth_section,
    "Where it errs": wrong_section,
    "Frozen, proven": frozen_section,
    "Lineage": lineage_section,
    "Stages": stages_section,
}


@dataclass(frozen=True)
class Written:
    """Where a page is, and in words each section that it lacks."""

    path: Path
    lacking: list[str]


def write_report(folder: Path) -> Written:
    """Writes the page of the run in a folder, whole or not at all.

    A section that cannot be made says why, and the others are there all the same.
    """
    run = FinishedRun.read(folder)
    sections, lacking = [], []
    for title, make in SECTIONS.items():
        try:
            sections.append(make(run))
        except Exception as error:
            log.exception("the report's section '%s'", title)
            why = f"{type(error).__name__}: {first_line(error)}"
            lacking.append(f"'{title}': {why}")
            told = Text(f"This could not be told: {why}", "bad")
            sections.append(Section(f"lacking-{len(lacking)}", title, [told]))
    path = folder / REPORT_FILE
    write_text(path, render(run.record["name"], run.folder.name, sections))
    return Written(path, lacking)


def render(name: str, run: str, sections: list[Section]) -> str:
    """The page as HTML; every text in it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.j2").render(name=name, run=run, sections=sections)
