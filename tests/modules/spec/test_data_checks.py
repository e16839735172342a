"""The limits that data must keep to be trained on: what a specification may say of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import DataChecks, load_specification
from tfx_fusion.modules.spec.views import RowsView

Write = Callable[..., Path]
SPLIT = "  split: {by: id, train: 0.7, eval: 0.3}\n"


def with_checks(write_specification: Write, checks: str) -> Path:
    return write_specification((SPLIT, f"{SPLIT}  checks: {{{checks}}}\n"))


def test_unless_it_says_otherwise_anomalies_and_any_leaking_row_stop_a_run(
    write_specification: Write,
) -> None:
    checks = load_specification(write_specification()).data.checks

    assert checks == DataChecks(anomalies="stop", max_leakage=0.0, max_drift=0.3, drift={})


def test_each_limit_can_be_set(write_specification: Write) -> None:
    text = "anomalies: report, max_leakage: 0.02, max_drift: 1.0, drift: {colour: 0.1}"
    checked = load_specification(with_checks(write_specification, text))

    wanted = DataChecks(anomalies="report", max_leakage=0.02, max_drift=1.0, drift={"colour": 0.1})
    assert checked.data.checks == wanted
    assert RowsView.of(checked) == RowsView.of(load_specification(write_specification()))


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ("anomalies: stopp", "data.checks.anomalies: expected 'stop' or 'report', found 'stopp'"),
        ("max_leakage: 1.5", "data.checks.max_leakage: expected a value less than or equal to 1"),
        ("max_leakage: -0.1", "data.checks.max_leakage: expected a value greater than or equal"),
        ("max_drift: 2", "data.checks.max_drift: expected a value less than or equal to 1"),
        ("drift: {colour: -1}", "data.checks.drift.colour: expected a value greater than or equal"),
        ('drift: {colour: "0.1"}', "data.checks.drift.colour: expected a valid number"),
        ("leakage: 0.1", "data.checks.leakage: unknown key: did you mean 'max_leakage'?"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    write_specification: Write, checks: str, message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        load_specification(with_checks(write_specification, checks))
    assert message in str(caught.value)
