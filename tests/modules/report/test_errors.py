"""What is shown of each kind of output."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tfx_fusion.modules.evaluation.predictions import EvaluatedRows
from tfx_fusion.modules.report.answers import Answers
from tfx_fusion.modules.report.blocks import Picture, Table
from tfx_fusion.modules.report.errors import SHOWN_CLASSES, output_blocks
from tfx_fusion.modules.spec import MultiLabel


@pytest.mark.parametrize(
    ("output", "alt", "header"),
    [
        ("colour", "Confusion matrix of colour: ", ["in truth", "predicted", "rows"]),
        ("steep", "Confusion matrix of steep: ", ["in truth", "predicted", "rows"]),
        ("tags", "Classes of tags: ", ["class", "found", "overlooked", "invented"]),
        ("area", "Residuals of area on 200 rows: ", None),
    ],
)
def test_each_kind_of_output_has_its_picture(
    answers: Answers, output: str, alt: str, header: list[str] | None
) -> None:
    picture, *tables = output_blocks(answers, output)
    assert isinstance(picture, Picture)
    assert picture.alt.startswith(alt)
    assert [table.header for table in tables if isinstance(table, Table)] == (
        [header] if header else []
    )


def test_of_very_many_classes_the_first_are_shown(answers: Answers) -> None:
    names = tuple(f"class {number}" for number in range(SHOWN_CLASSES + 10))
    label = MultiLabel(type="multi_label", column="tags", classes=names)
    yes = np.zeros((5, len(names)))
    yes[:, 3] = 1
    specification = answers.specification
    wide = replace(
        answers,
        specification=specification.model_copy(
            update={"labels": {**specification.labels, "tags": label}}
        ),
        rows=EvaluatedRows({"tags": yes}, {"tags": yes}, {}),
    )
    _, table = output_blocks(wide, "tags")
    assert isinstance(table, Table)
    assert table.caption == f"tags: rows by class, the first {SHOWN_CLASSES} of {len(names)}"
    assert table.rows[3] == ["class 3", "5", "0", "0"]
    assert len(table.rows) == SHOWN_CLASSES
