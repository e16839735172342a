"""Rows that lack a feature: from the cell over the tf.Example to what the model gets instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_data_validation as tfdv
from pydantic import TypeAdapter

from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import Feature, may_be_missing
from tfx_fusion.modules.spec.views import features_in_rows

# By name: what the specification says, and a cell that has it.
FEATURES: dict[str, tuple[dict[str, Any], Any]] = {
    "image": ({"type": "image", "column": "a", "shape": (4, 4, 3)}, "one.png"),
    "words": ({"type": "text", "column": "a", "encoding": "string"}, "red"),
    "size": ({"type": "number", "column": "a"}, "2.5"),
    "shop": ({"type": "category", "column": "a", "classes": ("x", "y")}, "y"),
    "place": ({"type": "category", "column": "a", "classes": ("x", "y"), "encoding": "index"}, "y"),
    "steps": ({"type": "sequence", "column": "a", "shape": (3, 2), "variable": True,
               "padding": -1.0}, "[[1, 2]]"),
    "code": ({"type": "raw", "column": "a", "dtype": "float32", "shape": (2,)}, "[1, 2]"),
    "names": ({"type": "raw", "column": "a", "dtype": "string"}, "b"),
}  # fmt: skip
# What the model gets in place of each.
INSTEAD: dict[str, Any] = {
    "image": np.zeros((4, 4, 3)), "words": b"", "size": [0.0], "shop": [0.0, 0.0], "place": 0,
    "steps": np.full((3, 2), -1.0), "code": [0.0, 0.0], "names": b"",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture = tf.io.encode_png(np.full((4, 4, 3), 255, np.uint8)).numpy()
    (tmp_path / "one.png").write_bytes(picture)
    (tmp_path / "cut.png").write_bytes(picture[:40])
    return tmp_path


def feature(name: str, missing: Any = "allowed", column: str = "a") -> Feature:
    given = {**FEATURES[name][0], "missing": missing, "column": column}
    return TypeAdapter(Feature).validate_python(given)


def example(part: Feature, cell: Any, folder: Path) -> tf.train.Example:
    return RowParser({"x": part}, {}, folder).example("row 1", {"a": cell})


def to_model(part: Feature, examples: list[tf.train.Example]) -> dict[str, np.ndarray]:
    """What the Transform graph makes of tf.Examples, whose flags it must not need."""
    serialized = [one.SerializeToString() for one in examples]
    dtype = {"image": tf.string, "text": tf.string, "category": tf.string}.get(part.type)
    if dtype is None:
        dtype = tf.string if getattr(part, "dtype", "") == "string" else tf.float32
    shape = (3, 2) if part.type == "sequence" else getattr(part, "shape", ())
    shape = () if part.type == "image" else (1,) if part.type == "number" else shape
    columns = {"x": tf.io.FixedLenFeature(shape, dtype)}
    if part.type == "sequence":
        columns["x_length"] = tf.io.FixedLenFeature((), tf.int64)
    raw = tf.io.parse_example(serialized, columns)
    found = preprocessing_fn(
        {**raw, "row_id": tf.fill([len(examples)], "row")}, transform_config({"x": part}, {})
    )
    return {name: tensor.numpy() for name, tensor in found.items()}


@pytest.mark.parametrize("name", FEATURES)
def test_a_row_that_lacks_a_feature_says_so_and_the_others_do_not(name: str, folder: Path) -> None:
    part = feature(name)
    there, absent = (example(part, cell, folder) for cell in (FEATURES[name][1], ""))
    assert there.features.feature["x.missing"].int64_list.value == [0]
    assert absent.features.feature["x.missing"].int64_list.value == [1]

    found = to_model(part, [there, absent])
    assert found["x.missing"].tolist() == [0, 1]
    np.testing.assert_array_equal(found["x"][1], INSTEAD[name])
    if isinstance(found["x"][0], bytes):
        assert found["x"][0] == FEATURES[name][1].encode()
    else:
        assert np.isfinite(found["x"]).all()
        assert not np.array_equal(found["x"][0], found["x"][1])


def test_neither_row_is_an_anomaly(folder: Path) -> None:
    features = {name: feature(name, column=name) for name in FEATURES}
    full, empty = {name: cell for name, (_, cell) in FEATURES.items()}, dict.fromkeys(FEATURES, "")
    parser = RowParser(features, {}, folder)
    path = str(folder / "rows.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for row in (full, empty):
            writer.write(parser.example("row 1", row).SerializeToString())
    schema = implied_schema(features, {})
    statistics = tfdv.generate_statistics_from_tfrecord(
        path, stats_options=tfdv.StatsOptions(schema=schema)
    )
    assert not tfdv.validate_statistics(statistics, schema).anomaly_info


def test_a_row_without_the_column_lacks_the_feature(folder: Path) -> None:
    found = RowParser({"x": feature("size")}, {}, folder).example("row 1", {"other": 1})
    assert found.features.feature["x.missing"].int64_list.value == [1]


def test_of_several_columns_all_must_be_empty(folder: Path) -> None:
    spec = {"type": "number", "columns": ("a", "b"), "missing": "allowed"}
    parser = RowParser({"x": TypeAdapter(Feature).validate_python(spec)}, {}, folder)
    both = parser.example("row 1", {"a": "", "b": ""})
    assert both.features.feature["x.missing"].int64_list.value == [1]
    with pytest.raises(RowError, match="column 'b': expected a value, found an empty cell"):
        parser.example("row 1", {"a": "1", "b": ""})


def test_a_picture_that_cannot_be_read_is_rejected_unless_it_is_declared_missing(
    folder: Path,
) -> None:
    for cell in ("cut.png", "none.png"):
        with pytest.raises(RowError, match="column 'a'"):
            example(feature("image"), cell, folder)
        found = example(feature("image", {"unreadable": "missing"}), cell, folder)
        assert found.features.feature["x.missing"].int64_list.value == [1]
        assert found.features.feature["x"].bytes_list.value == [b""]


def test_what_may_not_be_missing_has_no_flag(folder: Path) -> None:
    part = feature("size", None)
    assert may_be_missing({"x": part}) == []
    assert set(example(part, "2", folder).features.feature) == {"row_id", "x"}
    with pytest.raises(RowError, match="expected a value, found an empty cell"):
        example(part, "", folder)


def test_what_stands_for_a_missing_feature_in_the_model_changes_no_rows() -> None:
    def read(missing: Any) -> Any:
        return features_in_rows({"x": feature("image", missing)})

    assert read({"replace": "mean", "drop": 0.5}) == read("allowed")
    assert read({"unreadable": "missing"}) != read("allowed")
    assert read("allowed") != read(None)
