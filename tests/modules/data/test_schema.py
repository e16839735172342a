"""The schema that a specification implies, and what TFDV makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
)

FEATURES: dict[str, Feature] = {
    "image": ImageFeature(type="image", column="image", shape=(4, 4, 3)),
    "words": TextFeature(type="text", column="words", encoding="string"),
    "size": NumberFeature(type="number", columns=("width", "height")),
    "shop": CategoryFeature(type="category", column="shop", classes=("a", "b")),
    "steps": SequenceFeature(type="sequence", column="steps", shape=(3, 2)),
    "code": RawFeature(type="raw", column="code", dtype="int64"),
    "names": RawFeature(type="raw", column="names", dtype="string", shape=(2,)),
}
LABELS: dict[str, Label] = {
    "colour": CategoryLabel(type="category", column="colour", classes=("red", "green")),
    "price": NumberLabel(type="number", column="price"),
    "tags": MultiLabel(type="multi_label", column="tags", classes=("new", "sale", "last")),
}
BYTES, INT, FLOAT = schema_pb2.BYTES, schema_pb2.INT, schema_pb2.FLOAT


@pytest.fixture(scope="module")
def schema() -> schema_pb2.Schema:
    return implied_schema(FEATURES, LABELS)


def feature_of(schema: schema_pb2.Schema, name: str) -> schema_pb2.Feature:
    (found,) = (feature for feature in schema.feature if feature.name == name)
    return found


# The schema itself


def test_every_feature_and_label_and_the_row_id_is_in_the_schema(schema: schema_pb2.Schema) -> None:
    assert [feature.name for feature in schema.feature] == ["row_id", *FEATURES, *LABELS]


@pytest.mark.parametrize(
    ("name", "kind", "shape"),
    [
        ("row_id", BYTES, []),
        ("image", BYTES, []),
        ("words", BYTES, []),
        ("size", FLOAT, [2]),
        ("shop", BYTES, []),
        ("steps", FLOAT, [3, 2]),
        ("code", INT, []),
        ("names", BYTES, [2]),
        ("colour", BYTES, []),
        ("price", FLOAT, []),
        ("tags", INT, [3]),
    ],
)
def test_each_has_its_type_and_shape_and_stands_in_every_row(
    schema: schema_pb2.Schema, name: str, kind: int, shape: list[int]
) -> None:
    feature = feature_of(schema, name)

    assert feature.type == kind
    assert feature.HasField("shape")
    assert [dim.size for dim in feature.shape.dim] == shape
    assert feature.presence.min_fraction == 1.0


@pytest.mark.parametrize(("name", "classes"), [("shop", ["a", "b"]), ("colour", ["red", "green"])])
def test_classes_are_the_domain(schema: schema_pb2.Schema, name: str, classes: list[str]) -> None:
    assert list(feature_of(schema, name).string_domain.value) == classes


def test_of_several_classes_each_is_0_or_1(schema: schema_pb2.Schema) -> None:
    domain = feature_of(schema, "tags").int_domain

    assert (domain.min, domain.max) == (0, 1)


def test_images_and_text_are_marked_so_that_statistics_leave_their_values_out(
    schema: schema_pb2.Schema,
) -> None:
    assert feature_of(schema, "image").HasField("image_domain")
    assert feature_of(schema, "words").HasField("natural_language_domain")


# TFDV


def example(**changes: Any) -> bytes:
    """A row as the schema says, with some features changed; None takes one away."""
    import tensorflow as tf

    values: dict[str, Any] = {
        "row_id": [b"row 1"],
        "image": [b"\x89PNG\r\n\x1a\n and more bytes \xff"],
        "words": [b"A red thing."],
        "size": [1.0, 2.0],
        "shop": [b"a"],
        "steps": [0.5] * 6,
        "code": [7],
        "names": [b"x", b"y"],
        "colour": [b"red"],
        "price": [9.5],
        "tags": [1, 0, 1],
    } | changes
    built = tf.train.Example()
    for name, value in values.items():
        if value is None:
            continue
        feature = built.features.feature[name]
        kinds = {
            bytes: feature.bytes_list,
            float: feature.float_list,
            int: feature.int64_list,
        }
        kinds[type(value[0])].value.extend(value)
    return built.SerializeToString()


@pytest.fixture
def anomalies(tmp_path: Path, schema: schema_pb2.Schema) -> Callable[..., dict[str, str]]:
    """What TFDV finds wrong with examples, as `{feature: description}`."""
    import tensorflow as tf
    import tensorflow_data_validation as tfdv
    from apache_beam.options.pipeline_options import PipelineOptions

    def found(*examples: bytes) -> dict[str, str]:
        with tf.io.TFRecordWriter(str(tmp_path / "examples")) as writer:
            for serialized in examples:
                writer.write(serialized)
        statistics = tfdv.generate_statistics_from_tfrecord(
            str(tmp_path / "examples"),
            stats_options=tfdv.StatsOptions(schema=schema),
            pipeline_options=PipelineOptions(
                ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"]
            ),
        )
        report = tfdv.validate_statistics(statistics, schema)
        return {name: info.description for name, info in report.anomaly_info.items()}

    return found


@pytest.mark.component
def test_examples_as_specified_have_no_anomaly(anomalies: Callable[..., dict[str, str]]) -> None:
    rows = [
        example(),
        example(shop=[b"b"], colour=[b"green"], words=[b""], code=[-1], size=[0.0, -3.0]),
        example(words=["grün".encode()], price=[0.0], tags=[0, 0, 0]),
    ]

    assert anomalies(*rows) == {}


@pytest.mark.component
@pytest.mark.parametrize(
    "changes",  # by feature: other values, and what is said of them
    [
        {
            "colour": ([b"purple"], "purple"),
            "shop": ([b"c"], "c"),
            "size": ([1.0], "value lengths vary"),
            "tags": ([1, 0], "value lengths vary"),
            "extra": ([1], "New column"),
        },
        {"colour": (None, "fewer examples"), "tags": ([0, 2, 0], "large value: 2")},
    ],
    ids=["class, shape and new column", "missing, and neither 0 nor 1"],
)
def test_an_example_of_another_kind_is_an_anomaly(
    anomalies: Callable[..., dict[str, str]], changes: dict[str, tuple[Any, str]]
) -> None:
    found = anomalies(example(), example(**{name: value for name, (value, _) in changes.items()}))

    assert found.keys() == changes.keys()
    for name, (_, expected) in changes.items():
        assert expected in found[name]


@pytest.mark.component
def test_numbers_of_another_type_are_an_anomaly(anomalies: Callable[..., dict[str, str]]) -> None:
    found = anomalies(example(code=[0.5]))

    assert set(found) == {"code"}
    assert found["code"] == "Expected data of type: INT but got FLOAT"
