"""What is read of a report's page, against pages that the report's own code writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.kubeflow.verdict import glance
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.report.overview import glance_section
from tfx_fusion.modules.report.page import render


def page(**record: Any) -> str:
    run = FinishedRun(Path(), {"stages": [], **record}, None)  # type: ignore[arg-type]
    return render("colours", "1", [glance_section(run)])


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (
            {"status": "published", "error": None, "published": "/data/serving/17"},
            ("published", "Published as /data/serving/17"),
        ),
        (
            {"status": "not published", "error": "accuracy: 0.3 < 0.9 & less", "published": None},
            ("not published", "accuracy: 0.3 < 0.9 & less"),
        ),
    ],
)
def test_a_report_tells_at_a_glance_what_was_published(
    record: dict[str, Any], told: tuple[str, str]
) -> None:
    assert glance(page(**record)) == told


def test_a_page_without_a_glance_tells_nothing() -> None:
    assert glance("<html><section id='data'><p>rows</p></section></html>") == ("", "")
