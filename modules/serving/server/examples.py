"""Classify and Regress: tf.Examples in, classes with scores or numbers out, also as JSON."""

import json
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from tfx_fusion.modules.serving.server.errors import RequestError, invalid
from tfx_fusion.modules.serving.server.json_tensors import decoded, is_base64, parse, shown
from tfx_fusion.modules.serving.server.servable import Arrays, Servable

# What TF Serving calls the tensors of such signatures (saved_model/signature_constants).
INPUT, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def serialized(servable: Servable, signature: str, given: input_pb2.Input) -> Arrays:
    """The examples of a request as the inputs of a Classify or Regress signature.

    A context is common to all examples. Raises RequestError where the signature takes no examples.
    """
    if list(servable.inputs_of(signature)) != [INPUT]:
        raise RequestError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"signature '{servable.signature_name(signature)}' takes "
            f"{', '.join(sorted(servable.inputs_of(signature)))}; Classify and Regress need one "
            f"that takes tf.Examples as '{INPUT}': ask it with Predict",
        )
    kind = given.WhichOneof("kind")
    examples = list(getattr(given, kind).examples) if kind else []
    if not examples:
        raise invalid("input: expected examples, found none")
    if kind == "example_list_with_context":
        for example in examples:
            example.MergeFrom(given.example_list_with_context.context)
    records = [example.SerializeToString() for example in examples]
    return {INPUT: np.array(records, dtype=object)}


def classifications(outputs: Arrays) -> classification_pb2.ClassificationResult:
    """Classes `(batch, classes)` and scores `(batch, classes)`, of which one may be missing."""
    classes, scores = outputs.get(CLASSES), outputs.get(SCORES)
    known = [array for array in (classes, scores) if array is not None]
    if not known or any(array.ndim != 2 or array.shape != known[0].shape for array in known):
        raise invalid(
            f"expected a signature that gives '{CLASSES}' or '{SCORES}' or both, (batch, classes); "
            f"found {_shapes(outputs)}"
        )
    result = classification_pb2.ClassificationResult()
    for row in range(len(known[0])):
        added = result.classifications.add()
        for column in range(known[0].shape[1]):
            one = added.classes.add()
            if classes is not None:
                one.label = tf.compat.as_str_any(classes[row, column])
            if scores is not None:
                one.score = scores[row, column]
    return result


def regressions(outputs: Arrays) -> regression_pb2.RegressionResult:
    """Numbers `(batch,)` or `(batch, 1)`."""
    numbers = outputs.get(OUTPUTS)
    if numbers is None or numbers.dtype.kind != "f" or numbers.size != len(numbers):
        raise invalid(
            f"expected a signature that gives '{OUTPUTS}', (batch, 1) numbers; "
            f"found {_shapes(outputs)}"
        )
    values = [regression_pb2.Regression(value=value) for value in numbers.ravel()]
    return regression_pb2.RegressionResult(regressions=values)


def _shapes(outputs: Arrays) -> str:
    return ", ".join(f"{name} {array.shape}" for name, array in sorted(outputs.items()))


def fill_from_json(
    request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest,
    body: bytes,
) -> None:
    """Copies a JSON body's signature, context and examples; raises RequestError where invalid."""
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
        _add_feature(f"{where}: '{name}'", example, name, items)
    return example


def _add_feature(where: str, example: tf.train.Example, name: str, items: list[Any]) -> None:
    """Strings and bytes, decimals, or whole numbers and booleans: one kind in a feature."""
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


def classes_to_json(result: classification_pb2.ClassificationResult) -> str:
    """`{"results": [[[label, score], …], …]}`."""
    rows = [[[one.label, one.score] for one in row.classes] for row in result.classifications]
    return json.dumps({"results": rows})


def numbers_to_json(result: regression_pb2.RegressionResult) -> str:
    """`{"results": [number, …]}`."""
    return json.dumps({"results": [one.value for one in result.regressions]})
