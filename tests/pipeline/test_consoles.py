"""The table that ends a run: every figure there is, and no empty column."""

from __future__ import annotations

import sys
from io import StringIO

import pytest
from rich.console import Console

from tfx_fusion.modules.evaluation.quality import Bound, Line, Quality
from tfx_fusion.pipeline.consoles import quality_table, wide_console, working

WHOLE = Line(
    output="digit",
    metric="accuracy",
    rows=1234,
    value=0.5,
    bounds=(Bound(text="≥ 0.4", met=True),),
)


def printed(*lines: Line, confidence: float | None = None) -> list[list[str]]:
    stream = StringIO()
    Console(file=stream, width=200).print(
        quality_table(Quality(lines=lines, confidence=confidence))
    )
    return [line.split() for line in stream.getvalue().splitlines()]


def test_without_slices_intervals_or_champion_the_table_is_short() -> None:
    assert printed(WHOLE) == [
        ["output", "metric", "rows", "value", "bound"],
        ["digit", "accuracy", "1,234", "0.5000", "≥", "0.4", "pass"],
    ]


def test_each_slice_and_comparison_has_a_row() -> None:
    line = Line(
        output="digit", metric="accuracy", slice={"kind": "x", "shop": "north"}, rows=2,
        value=0.25, interval=(0.125, 0.375), champion=0.5, change=-0.25,
        change_interval=(-0.5, 0.0),
        bounds=(Bound(text="≥ 0.4", met=False), Bound(text="change ≥ 0", met=None)),
    )  # fmt: skip
    alone = Line(output="digit", metric="accuracy", of="text alone", rows=1234, value=None)

    header, whole, sliced, of_text = printed(WHOLE, line, alone, confidence=0.95)

    assert header == [
        "output", "metric", "of", "slice", "rows", "value", "95", "%", "champion", "change", "of",
        "the", "change", "bound",
    ]  # fmt: skip
    assert whole[:2] == ["digit", "accuracy"]
    assert " ".join(sliced) == (
        "digit accuracy kind x, shop north 2 0.2500 0.1250 to 0.3750 0.5000 -0.2500 "
        "-0.5000 to +0.0000 ≥ 0.4 fail, change ≥ 0 no champion"
    )
    assert of_text == ["digit", "accuracy", "text", "alone", "1,234"]


@pytest.mark.parametrize(("met", "word"), [(True, "pass"), (False, "fail")])
def test_a_bound_passes_or_fails(met: bool, word: str) -> None:
    line = WHOLE.model_copy(update={"bounds": (Bound(text="≤ 1", met=met),)})

    assert printed(line)[1][-3:] == ["≤", "1", word]


def test_what_changes_on_a_terminal_leaves_the_standard_streams_to_the_log() -> None:
    # A library that is imported meanwhile may hold on to them.
    terminal, before = StringIO(), (sys.stdout, sys.stderr)

    with working(wide_console(terminal, terminal=True), "importing"):
        assert (sys.stdout, sys.stderr) == before

    assert "importing" in terminal.getvalue()
