"""Data files, and rows of one feature: their values, and the refusal of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.spec import Feature, Label


@pytest.fixture
def data(tmp_path: Path) -> Callable[[str, bytes], Path]:
    """Writes a data file of a name and content."""

    def write(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


@pytest.fixture
def parse(tmp_path: Path) -> Callable[..., list]:
    """The values that a row gives for one feature; media files are in `tmp_path`."""

    def values(part: Feature, row: dict[str, Any]) -> list:
        features = RowParser({"x": part}, {}, tmp_path).example("row 1", row).features.feature
        return list(getattr(features["x"], features["x"].WhichOneof("kind")).value)

    return values


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[..., str]:
    """The message for a row that cannot be used."""

    def message(part: Feature | Label, row: dict[str, Any]) -> str:
        with pytest.raises(RowError) as caught:
            RowParser({}, {"x": part}, tmp_path).example("row 1", row)
        assert str(caught.value) == f"column '{caught.value.column}': {caught.value.reason}"
        return str(caught.value)

    return message
