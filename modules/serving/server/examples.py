"""Classify and Regress: tf.Examples in, classes with scores or numbers out."""

from __future__ import annotations

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import classification_pb2, input_pb2, regression_pb2

from tfx_fusion.modules.serving.server.refusal import RefusalError, invalid
from tfx_fusion.modules.serving.server.servable import Arrays, Servable

# What TF Serving calls the tensors of such signatures (saved_model/signature_constants).
INPUT, CLASSES, SCORES, OUTPUTS = "inputs", "classes", "scores", "outputs"


def serialized(servable: Servable, signature: str, given: input_pb2.Input) -> Arrays:
    """The examples of a request as such a signature takes them.

    A context is common to all examples. Raises RefusalError where the signature takes no examples.
    """
    if list(servable.inputs_of(signature)) != [INPUT]:
        raise RefusalError(
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
