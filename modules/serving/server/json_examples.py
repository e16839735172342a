"""Examples of Classify and Regress as they travel over REST."""

from __future__ import annotations

import json
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, regression_pb2

from tfx_fusion.modules.serving.server.json_tensors import decoded, is_base64, parse, shown
from tfx_fusion.modules.serving.server.refusal import invalid


def fill(
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    body: bytes,
) -> None:
    """Takes over a body's signature, context and examples. Raises RefusalError where wrong."""
    content = parse(body)
    request.model_spec.signature_name = content.get("signature_name", "")
    examples = content.get("examples")
    if not isinstance(examples, list) or not examples:
        raise invalid(f"examples: expected a list of objects, found {shown(examples)}")
    filled = [_example(f"examples: item {n}", values) for n, values in enumerate(examples)]
    if "context" in content:
        given = request.input.example_list_with_context
        given.context.CopyFrom(_example("context", content["context"]))
        given.examples.extend(filled)
    else:
        request.input.example_list.examples.extend(filled)


def _example(where: str, values: Any) -> tf.train.Example:
    if not isinstance(values, dict):
        raise invalid(f"{where}: expected an object of features, found {shown(values)}")
    example = tf.train.Example()
    for name, value in values.items():
        items = value if isinstance(value, list) else [value]
        _fill(f"{where}: '{name}'", example, name, items)
    return example


def _fill(where: str, example: tf.train.Example, name: str, items: list[Any]) -> None:
    """Text and bytes, decimal numbers, whole numbers and flags; of one kind in a feature."""
    try:
        feature = example.features.feature[name]
        if all(isinstance(item, str) or is_base64(item) for item in items):
            feature.bytes_list.value.extend(
                item.encode() if isinstance(item, str) else decoded(item["b64"]) for item in items
            )
        elif all(isinstance(item, float) for item in items):
            feature.float_list.value.extend(items)
        elif all(isinstance(item, int) for item in items):
            feature.int64_list.value.extend(map(int, items))
        else:
            raise ValueError(f"expected strings, decimals or whole numbers, found {shown(items)}")
    except ValueError as error:
        raise invalid(f"{where}: {error}") from None


def classes(result: classification_pb2.ClassificationResult) -> str:
    """`{"results": [[[label, score], …], …]}`."""
    rows = [[[one.label, one.score] for one in row.classes] for row in result.classifications]
    return json.dumps({"results": rows})


def numbers(result: regression_pb2.RegressionResult) -> str:
    """`{"results": [number, …]}`."""
    return json.dumps({"results": [one.value for one in result.regressions]})
