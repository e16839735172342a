"""The schema that a specification implies for its tf.Examples."""

from tensorflow_metadata.proto.v0 import schema_pb2

from tfx_fusion.modules import spec

TYPES = {
    "float32": schema_pb2.FLOAT,
    "int64": schema_pb2.INT,
    "string": schema_pb2.BYTES,
}


def implied_schema(
    features: dict[str, spec.Feature], labels: dict[str, spec.Label]
) -> schema_pb2.Schema:
    """Every feature present in every row, with its type, shape and, for classes, its domain.

    Anything else in the data is an anomaly to ExampleValidator. `image_domain` excludes
    encoded bytes from the statistics' values.
    """
    schema = schema_pb2.Schema()
    _add(schema, "row_id", schema_pb2.BYTES, ())
    for name, part in {**features, **labels}.items():
        added = _add(schema, name, TYPES[spec.stored(part).dtype], spec.stored(part).shape)
        if isinstance(part, spec.ImageFeature):
            added.image_domain.SetInParent()
        elif isinstance(part, spec.TextFeature):
            added.natural_language_domain.SetInParent()
        elif isinstance(part, spec.CategoryFeature | spec.CategoryLabel):
            added.string_domain.name = name
            added.string_domain.value.extend(part.classes)
            if isinstance(part, spec.CategoryFeature) and part.missing:
                added.string_domain.value.append("")
        elif isinstance(part, spec.MultiLabel):
            added.int_domain.min, added.int_domain.max = 0, 1
    for name, sequence in spec.variable_sequences(features).items():
        added = _add(schema, spec.length_name(name), schema_pb2.INT, ())
        added.int_domain.min, added.int_domain.max = 0, sequence.shape[0]
        if not sequence.missing:
            added.int_domain.min = 1
    for name in spec.may_be_missing(features):
        added = _add(schema, spec.missing_name(name), schema_pb2.INT, ())
        added.int_domain.min, added.int_domain.max = 0, 1
    for name in spec.weighted_labels(labels):
        _add(schema, spec.weights_name(name), schema_pb2.FLOAT, ())
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
