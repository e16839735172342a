"""What a specification may say of the check in a model server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.spec import Serving, load_specification

PUBLISH = "publish: {path: serving}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", Serving(rows=32, max_p99_ms=None, min_rows_per_second=None)),
        ("serving: {rows: 8, max_p99_ms: 20, min_rows_per_second: 50.5}\n",
         Serving(rows=8, max_p99_ms=20.0, min_rows_per_second=50.5)),
    ],
)  # fmt: skip
def test_limits_are_optional(
    write_specification: Callable[..., Path], text: str, wanted: Serving
) -> None:
    file = write_specification((PUBLISH, PUBLISH + text))
    assert load_specification(file).serving == wanted


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ("rows: 0", "serving.rows"),
        ("max_p99_ms: 0", "serving.max_p99_ms"),
        ("min_rows_per_second: -1", "serving.min_rows_per_second"),
        ('max_p99_ms: "20"', "serving.max_p99_ms"),
        ("max_p95_ms: 20", "did you mean 'max_p99_ms'?"),
    ],
)
def test_a_limit_that_is_none_is_refused(
    write_specification: Callable[..., Path], part: str, message: str
) -> None:
    file = write_specification((PUBLISH, f"{PUBLISH}serving: {{{part}}}\n"))
    with pytest.raises(SpecificationError) as caught:
        load_specification(file)
    assert message in str(caught.value)
