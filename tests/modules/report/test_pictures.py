"""What is drawn of a model's answers: every name and number that there is room for, as text."""

from __future__ import annotations

import base64
from xml.etree import ElementTree

import numpy as np
import pytest

from tfx_fusion.modules.evaluation.quality import Line
from tfx_fusion.modules.report.answers import ClassCounts
from tfx_fusion.modules.report.blocks import Picture
from tfx_fusion.modules.report.pictures import (
    classes_picture,
    confusion_picture,
    residuals_picture,
    worth_picture,
)


def texts(picture: Picture) -> list[str]:
    kind, _, content = picture.uri.partition(";base64,")
    assert kind == "data:image/svg+xml"
    root = ElementTree.fromstring(base64.b64decode(content))  # noqa: S314
    return ["".join(item.itertext()).strip() for item in root.iter() if item.tag.endswith("}text")]


def test_a_confusion_matrix_names_its_classes_and_counts() -> None:
    picture = confusion_picture("kind", np.array([[7, 3], [0, 11]]), ["$x_1$", "<b>"])
    found = texts(picture)
    assert (found.count("$x_1$"), found.count("<b>")) == (2, 2)
    assert {"7", "3", "11", "true", "predicted"} <= set(found)
    assert "0" not in found
    assert picture.alt == "Confusion matrix of kind: 18 of 21 rows are correct."


@pytest.mark.parametrize("classes", [30, 300])
def test_many_classes_are_drawn_without_numbers(classes: int) -> None:
    names = [f"class {number}" for number in range(classes)]
    found = texts(confusion_picture("kind", np.eye(classes, dtype=int), names))
    assert "1" not in found
    assert ("class 0" in found) == (classes == 30)


def test_several_classes_have_a_bar_each() -> None:
    counts = ClassCounts(np.array([1, 2]), np.array([0, 3]), np.array([5, 0]))
    found = texts(classes_picture("tags", counts, ["near", "far"]))
    assert {"near", "far", "found", "overlooked", "invented"} <= set(found)


@pytest.mark.parametrize("rows", [0, 1, 5000])
def test_residuals_show_their_mean_error(rows: int) -> None:
    truth = np.linspace(0, 1, rows)
    picture = residuals_picture("price", truth, truth + 0.25)
    error = "0.25" if rows else "0"
    assert (
        picture.alt == f"Residuals of price on {rows:,} rows: the mean absolute error is {error}."
    )


def test_what_is_no_number_is_left_out_of_the_residuals() -> None:
    picture = residuals_picture("price", np.array([1.0, 2.0]), np.array([np.nan, 2.5]))
    assert "on 1 rows: the mean absolute error is 0.5" in picture.alt


def test_the_worth_has_a_line_for_each_branch_but_none_for_a_margin() -> None:
    lines = [
        Line(output="kind", metric="accuracy", of=of, rows=9, value=0.5, interval=(0.4, 0.6))
        for of in ("", "text alone", "without text", "over text alone")
    ]
    picture = worth_picture(lines, 0.9)
    found = texts(picture)
    assert {"kind: accuracy", "fused", "text alone", "without text"} <= set(found)
    assert "over text alone" not in found
    assert "90 % intervals" in picture.alt
