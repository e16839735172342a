"""The limits that data must keep to be trained on: what a specification may say of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import DataChecks, load_specification
from tfx_fusion.modules.validation.names import ordered_nodes

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
    text = "anomalies: tell, max_leakage: 0.02, max_drift: 1.0, drift: {colour: 0.1}"
    checked = load_specification(with_checks(write_specification, text))
    ordered_nodes(checked)

    wanted = DataChecks(anomalies="tell", max_leakage=0.02, max_drift=1.0, drift={"colour": 0.1})
    assert checked.data.checks == wanted
    assert checked.data.unchecked() == load_specification(write_specification()).data


@pytest.mark.parametrize(
    ("checks", "message"),
    [
        ("anomalies: stopp", "data.checks.anomalies: expected 'stop' or 'tell', found 'stopp'"),
        ("max_leakage: 1.5", "data.checks.max_leakage: input should be less than or equal to 1"),
        ("max_leakage: -0.1", "data.checks.max_leakage: input should be greater than or equal"),
        ("max_drift: 2", "data.checks.max_drift: input should be less than or equal to 1"),
        ("drift: {colour: -1}", "data.checks.drift.colour: input should be greater than or equal"),
        ('drift: {colour: "0.1"}', "data.checks.drift.colour: input should be a valid number"),
        ("leakage: 0.1", "data.checks.leakage: unknown key: did you mean 'max_leakage'?"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    write_specification: Write, checks: str, message: str
) -> None:
    with pytest.raises(SpecificationError) as caught:
        load_specification(with_checks(write_specification, checks))
    assert message in str(caught.value)


def test_drift_of_what_there_is_not_or_cannot_be_measured_is_refused(
    write_specification: Write,
) -> None:
    text = "drift: {color: 0.1, words: 0.1, image: 0.1, colour: 0.1}"
    with pytest.raises(SpecificationError) as caught:
        ordered_nodes(load_specification(with_checks(write_specification, text)))

    assert caught.value.problems == [
        "data.checks.drift.color: no feature or label has this name; did you mean 'colour'?",
        "data.checks.drift.words: drift is measured of classes and numbers, not of type text; "
        "take it out",
        "data.checks.drift.image: drift is measured of classes and numbers, not of type image; "
        "take it out",
    ]
