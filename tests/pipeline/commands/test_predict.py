"""How a prediction is shown in a row of the table."""

from __future__ import annotations

import pytest

from modules.spec import CategoryLabel, Label, MultiLabel, NumberLabel
from pipeline.commands.predict import shown

ONE = CategoryLabel(type="category", column="a", classes=("x", "y", "z"))
SEVERAL = MultiLabel(type="multi_label", column="a", classes=("x", "y", "z"))
NUMBER = NumberLabel(type="number", column="a")


@pytest.mark.parametrize(
    ("label", "value", "expected"),
    [
        (ONE, {"x": 0.3, "y": 0.45, "z": 0.25}, "y (0.450)"),
        (SEVERAL, {"x": 0.91, "y": 0.2, "z": 0.6254}, "x (0.910), z (0.625)"),
        (SEVERAL, {"x": 0.2, "y": 0.2, "z": 0.51}, "z (0.510)"),
        (SEVERAL, {"x": 0.2, "y": 0.5, "z": 0.1}, "no class above 0.5"),
        (NUMBER, 1234.56789, "1234.57"),
    ],
)
def test_a_prediction_is_shown_as_its_label_asks(
    label: Label, value: dict[str, float] | float, expected: str
) -> None:
    assert shown(label, value) == expected
