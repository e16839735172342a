"""The schema that a specification implies for its tf.Examples."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    MultiLabel,
    TextFeature,
    length_name,
    may_be_missing,
    missing_name,
    stored,
    variable_sequences,
    weighted_labels,
    weights_name,
)

TYPES = {
    "float32": schema_pb2.FLOAT,
    "int64": schema_pb2.INT,
    "string": schema_pb2.BYTES,
}


def implied_schema(features: dict[str, Feature], labels: dict[str, Label]) -> schema_pb2.Schema:
    """Every feature present in every row, with its type, shape and, for classes, its domain.

    Anything else in the data is an anomaly to ExampleValidator. `image_domain` excludes
    encoded bytes from the statistics' values.
    """
    schema = schema_pb2.Schema()
    _add(schema, "row_id", schema_pb2.BYTES, ())
    for name, part in {**features, **labels}.items():
        added = _add(schema, name, TYPES[stored(part).dtype], stored(part).shape)
        if isinstance(part, ImageFeature):
            added.image_domain.SetInParent()
        elif isinstance(part, TextFeature):
            added.natural_language_domain.SetInParent()
        elif isinstance(part, CategoryFeature | CategoryLabel):
            added.string_domain.name = name
            added.string_domain.value.extend(part.classes)
            if isinstance(part, CategoryFeature) and part.missing:
                added.string_domain.value.append("")
        elif isinstance(part, MultiLabel):
            added.int_domain.min, added.int_domain.max = 0, 1
    for name, sequence in variable_sequences(features).items():
        added = _add(schema, length_name(name), schema_pb2.INT, ())
        added.int_domain.min, added.int_domain.max = 0, sequence.shape[0]
        if not sequence.missing:
            added.int_domain.min = 1
    for name in may_be_missing(features):
        added = _add(schema, missing_name(name), schema_pb2.INT, ())
        added.int_domain.min, added.int_domain.max = 0, 1
    for name in weighted_labels(labels):
        _add(schema, weights_name(name), schema_pb2.FLOAT, ())
    return schema


def _add(
    schema: schema_pb2.Schema, name: str, kind: int, shape: tuple[int, ...]
) -> schema_pb2.Feature:
    feature = schema.feature.add(name=name, type=kind)
    feature.presence.min_fraction = 1.0
    feature.presence.min_count = 1
    feature.shape.SetInParent()
    for size in shape:
        feature.shape.dim.add(size=size)
    return feature
