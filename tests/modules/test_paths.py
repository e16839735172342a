"""Paths that a library would take for others are refused by their name."""

from __future__ import annotations

from pathlib import Path

import pytest
from odd_paths import ODD, REFUSED

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.files import MOST_BYTES, check_path

NOT_UTF_8 = b"f\xe4r".decode("utf-8", "surrogateescape")


@pytest.mark.parametrize("name", [ODD, "a\u00a0b", "👩\u200d💻", "x" * 255, "]{}!"])
def test_odd_names_are_taken(name: str) -> None:
    check_path(Path("/data", name, "runs"), "the folder of the runs")


@pytest.mark.parametrize("name", [*REFUSED, "\x7f", NOT_UTF_8, "x" * MOST_BYTES])
def test_what_would_be_misread_is_refused_by_its_key(name: str) -> None:
    with pytest.raises(RunError) as caught:
        check_path(Path("/data", name, "runs"), "publish.path")

    message = str(caught.value)
    assert message.startswith("publish.path: ")
    assert message.endswith((": rename the folder", ": move the folder"))
    message.encode()  # a terminal can print it
