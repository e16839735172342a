"""Malformed requests over gRPC, sent as bytes, for a client's stub would refuse most of them."""

from __future__ import annotations

from collections.abc import Callable

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import predict_pb2

from benchmarks.malformed import Target, Verdict, any_of, changed_bytes, differences

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PROPER = {"INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "OUT_OF_RANGE"}
# What may still mean something; all others must be refused.
MAY_BE_ANSWERED = {"changed_bytes", "contradicting_tensor", "not_a_number", "other_rows"}
DTYPES = (np.float16, np.float64, np.int8, np.int32, np.uint64, np.bool_, np.complex64, np.bytes_)
METHODS = (
    "/tensorflow.serving.PredictionService/Guess",
    "/tensorflow.serving.PredictionService/MultiInference",
    "/tensorflow.serving.Unknown/Predict",
    "/",
)
SECONDS = 60
Random = np.random.Generator


class GrpcFuzzer:
    """Sends malformed requests, each by a seed of its own."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._channel = grpc.insecure_channel(target.grpc)

    def close(self) -> None:
        self._channel.close()

    def send(self, seed: int) -> tuple[str, Verdict]:
        """The kind of the request, and what came of it."""
        random = np.random.default_rng(seed)
        signature = any_of(random, self._target.good)
        request = good_request(self._target, signature)
        kind = any_of(random, KINDS)
        path = PREDICT
        if kind == "unknown_method":
            content, path = request.SerializeToString(), any_of(random, METHODS)
        elif kind == "changed_bytes":
            content = changed_bytes(random, request.SerializeToString())
        elif kind == "random_bytes":
            content = b"\xff" + random.bytes(int(random.integers(500)))  # no tag starts so
        else:
            KINDS[kind](random, request)
            content = request.SerializeToString()
        return kind, self._ask(kind, path, content)

    def good_answer(self) -> str:
        """What is wrong with the answers to good requests; nothing where there is nothing."""
        for signature in self._target.good:
            content = good_request(self._target, signature).SerializeToString()
            verdict = self._ask("not_a_number", PREDICT, content)
            if verdict.status != "answered" or verdict.wrong:
                return f"{verdict.status} {verdict.wrong}"
        return ""

    def _ask(self, kind: str, path: str, content: bytes) -> Verdict:
        call = self._channel.unary_unary(
            path, response_deserializer=predict_pb2.PredictResponse.FromString
        )
        try:
            response = call(content, timeout=SECONDS)
        except grpc.RpcError as error:
            status = error.code().name
            proper = status in PROPER and error.details()
            return Verdict(status, "" if proper else f"{content[:200]!r}: {error.details()}")
        if kind not in MAY_BE_ANSWERED:
            return Verdict("answered", f"expected a refusal of {content[:200]!r}")
        asked = predict_pb2.PredictRequest.FromString(content)
        inputs = {name: tf.make_ndarray(proto) for name, proto in asked.inputs.items()}
        found = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        signature = asked.model_spec.signature_name or "serving_default"
        return Verdict("answered", differences(self._target, signature, inputs, found))


def good_request(target: Target, signature: str) -> predict_pb2.PredictRequest:
    """A request that must be answered."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = target.name, signature
    for name, values in target.good[signature].items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


def _one(random: Random, request: predict_pb2.PredictRequest) -> tuple[str, np.ndarray]:
    name = any_of(random, request.inputs)
    return name, tf.make_ndarray(request.inputs[name])


def _put(request: predict_pb2.PredictRequest, name: str, values: np.ndarray) -> None:
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))


def _wrong_dtype(random: Random, request: predict_pb2.PredictRequest) -> None:
    name, values = _one(random, request)
    other = DTYPES[random.integers(len(DTYPES) - (values.dtype == object))]
    _put(request, name, np.ones(values.shape, other))


def _wrong_shape(random: Random, request: predict_pb2.PredictRequest) -> None:
    name, values = _one(random, request)
    deeper = np.stack([values] * int(random.integers(1, 4)), axis=-1)
    _put(request, name, deeper if random.random() < 0.5 else values[0])


def _missing_input(random: Random, request: predict_pb2.PredictRequest) -> None:
    del request.inputs[any_of(random, request.inputs)]


def _unknown_input(random: Random, request: predict_pb2.PredictRequest) -> None:
    name, values = _one(random, request)
    _put(request, f"{name}é" if random.random() < 0.5 else "", values)


def _other_rows(random: Random, request: predict_pb2.PredictRequest) -> None:
    name, values = _one(random, request)
    _put(request, name, np.repeat(values, int(random.integers(0, 4)), axis=0))


def _contradicting_tensor(random: Random, request: predict_pb2.PredictRequest) -> None:
    proto = request.inputs[any_of(random, request.inputs)]
    numbers = (-1, 0, 3, 1 << 20, 1 << 33, (1 << 63) - 1)
    match random.integers(5):
        case 0:
            proto.tensor_content = random.bytes(int(random.integers(1, 30)))
        case 1:
            proto.tensor_shape.dim[0].size = int(random.choice(numbers))
        case 2:
            for _ in range(int(random.integers(1, 300))):
                proto.tensor_shape.dim.add(size=int(random.choice((0, 1, 1 << 40))))
        case 3:
            known = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type
            proto.dtype = int(random.choice([*known.values_by_number, 999, -5]))
        case _:
            proto.ClearField("tensor_content")
            proto.dtype = int(random.integers(1, 24))
            proto.int_val.extend([1 << 30, -7])
            proto.half_val.append(1 << 30)
            proto.tensor_shape.unknown_rank = bool(random.integers(2))


def _not_a_number(random: Random, request: predict_pb2.PredictRequest) -> None:
    for name in request.inputs:
        values = tf.make_ndarray(request.inputs[name])
        if values.dtype.kind == "f":
            extremes = [np.nan, np.inf, -np.inf, np.finfo(values.dtype).max]
            _put(request, name, random.choice(extremes, values.shape).astype(values.dtype))


def _another_model(random: Random, request: predict_pb2.PredictRequest) -> None:
    spec = request.model_spec
    match random.integers(4):
        case 0:
            spec.name = str(random.choice(["", "other", "größer", "a" * 10_000]))
        case 1:
            spec.version.value = int(random.choice([-1, 0, 999, (1 << 63) - 1]))
        case 2:
            spec.version_label = "stable"
        case _:
            spec.signature_name = str(random.choice(["other", "é", "__saved_model_init_op"]))


def _unknown_output(random: Random, request: predict_pb2.PredictRequest) -> None:
    request.output_filter.append(str(random.choice(["", "other", "é" * 1000])))


def _empty(random: Random, request: predict_pb2.PredictRequest) -> None:
    request.Clear() if random.random() < 0.5 else request.ClearField("inputs")


def _as_it_is(random: Random, request: predict_pb2.PredictRequest) -> None:
    """Nothing: the bytes or the path are changed."""


KINDS: dict[str, Callable[[Random, predict_pb2.PredictRequest], None]] = {
    "wrong_dtype": _wrong_dtype, "wrong_shape": _wrong_shape, "missing_input": _missing_input,
    "unknown_input": _unknown_input, "other_rows": _other_rows,
    "contradicting_tensor": _contradicting_tensor, "not_a_number": _not_a_number,
    "another_model": _another_model, "unknown_output": _unknown_output, "empty": _empty,
    "unknown_method": _as_it_is, "changed_bytes": _as_it_is, "random_bytes": _as_it_is,
}  # fmt: skip
