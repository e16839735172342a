"""Data files, and rows of one feature: their values, and the refusal of bad ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from written_rows import BY_HASH, LABEL, NUMBER, RUNNER, Written

from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.write import collect, write_examples
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


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Written]:
    """Writes the examples of a data file below `tmp_path`, as ManifestExampleGen does."""

    def written(
        data: Path,
        features: dict = NUMBER,
        labels: dict = LABEL,
        split: dict = BY_HASH,
        max_rejected: float = 0.01,
    ) -> Written:
        source = RowSource.model_validate(
            {
                "data": {"path": str(data), "split": split, "max_rejected": max_rejected},
                "features": features,
                "labels": labels,
            }
        )
        out = tmp_path / "out"
        folders = {split: str(out / split) for split in ("train", "eval")}
        with beam.Pipeline(options=PipelineOptions([RUNNER])) as pipeline:
            write_examples(pipeline, source, folders, str(out / "summaries"))
        return Written(collect(source, str(out / "summaries"), str(out / "rejected")), out)

    return written
