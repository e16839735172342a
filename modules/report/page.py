"""The page, from a run's folder to one HTML file that needs no other."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tfx_fusion.modules.errors import first_line
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.report.blocks import Section, Text
from tfx_fusion.modules.report.data import data_section
from tfx_fusion.modules.report.errors import errors_section
from tfx_fusion.modules.report.finished import REPORT_FILE, FinishedRun
from tfx_fusion.modules.report.overview import (
    card_section,
    glance_section,
    lineage_section,
    steps_section,
)
from tfx_fusion.modules.report.quality import quality_section, worth_section
from tfx_fusion.modules.report.training import frozen_section, graph_section, training_section

log = logging.getLogger(__name__)

SECTIONS: dict[str, Callable[[FinishedRun], Section]] = {
    "At a glance": glance_section,
    "Model card": card_section,
    "Data": data_section,
    "Graph": graph_section,
    "Training": training_section,
    "Metrics": quality_section,
    "What each branch is worth": worth_section,
    "Errors": errors_section,
    "Frozen tensors": frozen_section,
    "Lineage": lineage_section,
    "Steps": steps_section,
}


@dataclass(frozen=True)
class WrittenPage:
    """Where a page is, and each section that could not be made, with the reason."""

    path: Path
    lacking: list[str]


def write_report(folder: Path) -> WrittenPage:
    """Writes the page of the run in a folder beside the run's record."""
    return write_page(FinishedRun.read(folder), folder)


def write_page(run: FinishedRun, folder: Path) -> WrittenPage:
    """Writes the page of a run into a folder, whole or not at all.

    A section that cannot be made has the reason in its place; the others are unaffected.
    """
    sections, lacking = [], []
    for title, make in SECTIONS.items():
        try:
            sections.append(make(run))
        except Exception as error:
            log.exception("the report's section '%s'", title)
            reason = f"{type(error).__name__}: {first_line(error)}"
            lacking.append(f"'{title}': {reason}")
            text = Text(f"This section could not be made: {reason}", "bad")
            sections.append(Section(f"lacking-{len(lacking)}", title, [text]))
    path = folder / REPORT_FILE
    write_text(path, render(run.record.name, run.name, sections))
    return WrittenPage(path, lacking)


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
