"""A published model as a program opens it: predictions, versions, lineage, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.pipeline.published import Published, open_published

ROW = {"image_path": "data/images/0.png", "transcript": "very red"}


def chances(published: Published, rows: object, folder: Path) -> np.ndarray:
    """The predicted probabilities `(rows, classes)`."""
    predictions = published.predict(rows, folder)
    assert all(one.error is None for one in predictions), predictions
    return np.array([list(one.outputs["colour"].values()) for one in predictions])


@pytest.fixture(scope="module")
def opened(shared_published: Path) -> Published:
    return open_published(shared_published)


def test_rows_are_taken_as_mappings_a_data_frame_or_a_data_file(
    opened: Published, shared_world: Path
) -> None:
    file = shared_world / "data" / "rows.csv"
    frame = pd.read_csv(file)
    expected = chances(opened, file, shared_world / "data")
    assert expected.shape == (90, 3)
    np.testing.assert_array_equal(chances(opened, frame, shared_world / "data"), expected)
    rows = [{key: np.array(value)[()] for key, value in row.items()} for _, row in frame.iterrows()]
    np.testing.assert_array_equal(chances(opened, rows, shared_world / "data"), expected)
    encoded = {**ROW, "image_path": (shared_world / ROW["image_path"]).read_bytes()}
    np.testing.assert_array_equal(
        chances(opened, [encoded], shared_world), chances(opened, [ROW], shared_world)
    )


def test_media_are_relative_to_the_data_file_or_the_working_folder(
    opened: Published, shared_world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shared_world)
    assert opened.predict("data/rows.csv")[0].error is None
    assert opened.predict([ROW])[0].error is None
    assert opened.predict([ROW], "data")[0].error == (
        "column 'image_path': no such file: data/data/images/0.png"
    )


def test_a_cell_without_a_value_is_reported_by_its_column_however_pandas_writes_it(
    opened: Published, shared_world: Path
) -> None:
    for nothing in (None, float("nan"), pd.NA, pd.NaT):
        frame = pd.DataFrame([{**ROW, "image_path": nothing}])
        [prediction] = opened.predict(frame, shared_world)
        assert prediction.error == ("column 'image_path': expected a value, found an empty cell"), (
            nothing
        )


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROW, "the rows: expected a list of mappings of columns to values, found one mapping"),
        (3, "the rows: expected a list of mappings of columns to values, found int"),
        ([ROW, "red"], "row 2: expected a mapping of columns to values, found str"),
        ("rows.txt", "rows.txt: expected .csv, .jsonl, .parquet"),
        ("none.csv", "none.csv"),
    ],
)
def test_what_is_no_rows_is_refused(rows: object, message: str, opened: Published) -> None:
    with pytest.raises(RunError, match=message):
        opened.predict(rows)


def test_a_version_a_publish_folder_and_a_specification_open_the_same_model(
    shared_published: Path, shared_world: Path, tmp_path: Path, opened: Published
) -> None:
    file = tmp_path / "fusion.yaml"
    content = yaml.safe_load((shared_world / "fusion.yaml").read_text())
    file.write_text(yaml.safe_dump({**content, "publish": {"path": str(shared_published)}}))
    copy = shutil.copytree(shared_published / "1", tmp_path / "a copy")
    expected = chances(opened, [ROW], shared_world)
    for path in (shared_published / "1", file, copy):
        found = open_published(path)
        np.testing.assert_array_equal(chances(found, [ROW], shared_world), expected)
    assert [(one.name, one.status) for one in opened.versions] == [("1", "served")]
    assert [(one.name, one.status) for one in open_published(copy).versions] == [("a copy", "")]
    assert repr(opened) == f"<Published {shared_published}: 1 (served)>"


def test_what_holds_no_published_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="serving: no such folder; give a publish folder"):
        open_published(tmp_path / "serving")
    (tmp_path / "serving" / "latest").mkdir(parents=True)
    with pytest.raises(RunError, match=r"serving: expected version folders .* found none: run the"):
        open_published(tmp_path / "serving")
    with pytest.raises(SpecificationError, match=r"none\.yaml: no such file"):
        open_published(tmp_path / "none.yaml")
