"""Malformed requests over gRPC, sent as bytes: a client's stub would refuse most of them."""

from collections.abc import Callable

import grpc
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse

from benchmarks.malformed import Draw, Fuzzer, Target, Verdict, damaged, differences, one_of
from tfx_fusion.modules.serving.remote import predict_request

PREDICT = "/tensorflow.serving.PredictionService/Predict"
PROPER = {"FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND", "UNIMPLEMENTED", "OUT_OF_RANGE"}
# Kinds of which some requests are valid; all others must be refused.
MAY_BE_ANSWERED = {
    "changed_bytes",
    "contradicting_tensor",
    "not_a_number",
    "other_rows",
    "wrong_shape",
}
DTYPES = (np.float16, np.float64, np.int8, np.int32, np.uint64, np.bool_, np.complex64, np.bytes_)
METHODS = (
    "/tensorflow.serving.PredictionService/Guess",
    "/tensorflow.serving.PredictionService/MultiInference",
    "/tensorflow.serving.Unknown/Predict",
    "/",
)
SECONDS = 60


class GrpcFuzzer(Fuzzer):
    """Malformed requests to `Predict`: pairs of a method's path and the message's bytes."""

    answered = "answered"

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.kinds = (*CHANGES, "unknown_method", "changed_bytes", "random_bytes")
        self._channel = grpc.insecure_channel(target.grpc)

    def close(self) -> None:
        self._channel.close()

    def requests(self, kind: str) -> st.SearchStrategy[tuple[str, bytes]]:
        return _requests(self._target, kind)

    def good_request(self, signature: str) -> tuple[str, bytes]:
        return PREDICT, good_message(self._target, signature).SerializeToString()

    def send(self, kind: str, request: tuple[str, bytes]) -> Verdict:
        path, content = request
        call = self._channel.unary_unary(path, response_deserializer=PredictResponse.FromString)
        try:
            response = call(content, timeout=SECONDS)
        except grpc.RpcError as error:
            status = error.code().name
            proper = status in PROPER and error.details()
            return Verdict(status, "" if proper else f"{content[:200]!r}: {error.details()}")
        if kind not in MAY_BE_ANSWERED:
            return Verdict("answered", f"expected a refusal of {content[:200]!r}")
        asked = PredictRequest.FromString(content)
        inputs = {name: tf.make_ndarray(proto) for name, proto in asked.inputs.items()}
        found = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
        signature = asked.model_spec.signature_name or "serving_default"
        return Verdict("answered", differences(self._target, signature, inputs, found))


def good_message(target: Target, signature: str) -> PredictRequest:
    """A request that must be answered."""
    return predict_request(target.name, target.good[signature], signature)


@st.composite
def _requests(draw: Draw, target: Target, kind: str) -> tuple[str, bytes]:
    request = good_message(target, draw(one_of(target.good)))
    if kind == "random_bytes":
        return PREDICT, b"\xff" + draw(st.binary(max_size=500))  # no field begins with 0xff
    if kind == "changed_bytes":
        return PREDICT, draw(damaged(request.SerializeToString(deterministic=True)))
    if kind == "unknown_method":
        return draw(one_of(METHODS)), request.SerializeToString(deterministic=True)
    CHANGES[kind](draw, request)
    return PREDICT, request.SerializeToString(deterministic=True)


def _one(draw: Draw, request: PredictRequest) -> tuple[str, np.ndarray]:
    name = draw(one_of(request.inputs))
    return name, tf.make_ndarray(request.inputs[name])


def _put(request: PredictRequest, name: str, values: np.ndarray) -> None:
    request.inputs[name].CopyFrom(tf.make_tensor_proto(values))


def _wrong_dtype(draw: Draw, request: PredictRequest) -> None:
    name, values = _one(draw, request)
    others = DTYPES[:-1] if values.dtype == object else DTYPES
    _put(request, name, np.ones(values.shape, draw(st.sampled_from(others))))


def _wrong_shape(draw: Draw, request: PredictRequest) -> None:
    name, values = _one(draw, request)
    deeper = np.stack([values] * draw(st.integers(1, 3)), axis=-1)
    _put(request, name, deeper if draw(st.booleans()) else values[0])


def _missing_input(draw: Draw, request: PredictRequest) -> None:
    del request.inputs[draw(one_of(request.inputs))]


def _unknown_input(draw: Draw, request: PredictRequest) -> None:
    _, values = _one(draw, request)
    other = draw(st.text(max_size=20).filter(lambda text: text not in request.inputs))
    _put(request, other, values)


def _other_rows(draw: Draw, request: PredictRequest) -> None:
    name, values = _one(draw, request)
    _put(request, name, np.repeat(values, draw(st.integers(0, 3)), axis=0))


def _contradicting_tensor(draw: Draw, request: PredictRequest) -> None:
    proto = request.inputs[draw(one_of(request.inputs))]
    match draw(st.integers(0, 4)):
        case 0:
            proto.tensor_content = draw(st.binary(min_size=1, max_size=30))
        case 1:
            proto.tensor_shape.dim[0].size = draw(st.integers(-1, (1 << 63) - 1))
        case 2:
            sizes = draw(st.lists(st.sampled_from((0, 1, 1 << 40)), min_size=1, max_size=300))
            proto.tensor_shape.dim.extend(
                tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in sizes
            )
        case 3:
            known = tensor_pb2.TensorProto.DESCRIPTOR.fields_by_name["dtype"].enum_type
            proto.dtype = draw(st.sampled_from([*known.values_by_number, 999, -5]))
        case _:
            proto.ClearField("tensor_content")
            proto.dtype = draw(st.integers(1, 23))
            proto.int_val.extend([1 << 30, -7])
            proto.half_val.append(1 << 30)
            proto.tensor_shape.unknown_rank = draw(st.booleans())


def _not_a_number(draw: Draw, request: PredictRequest) -> None:
    for name in sorted(request.inputs):
        values = tf.make_ndarray(request.inputs[name])
        if values.dtype.kind == "f":
            extremes = [np.nan, np.inf, -np.inf, np.finfo(values.dtype).max]
            _put(
                request,
                name,
                draw(arrays(values.dtype, values.shape, elements=st.sampled_from(extremes))),
            )


def _another_model(draw: Draw, request: PredictRequest) -> None:
    spec = request.model_spec
    match draw(st.integers(0, 3)):
        case 0:
            spec.name = draw(st.sampled_from(["", "other", "größer", "a" * 10_000]))
        case 1:
            spec.version.value = draw(st.sampled_from([-1, 0, 999, (1 << 63) - 1]))
        case 2:
            spec.version_label = "stable"
        case _:
            spec.signature_name = draw(st.sampled_from(["other", "é", "__saved_model_init_op"]))


def _unknown_output(draw: Draw, request: PredictRequest) -> None:
    request.output_filter.append(draw(st.sampled_from(["", "other", "é" * 1000])))


def _empty(draw: Draw, request: PredictRequest) -> None:
    request.Clear() if draw(st.booleans()) else request.ClearField("inputs")


CHANGES: dict[str, Callable[[Draw, PredictRequest], None]] = {
    "wrong_dtype": _wrong_dtype, "wrong_shape": _wrong_shape, "missing_input": _missing_input,
    "unknown_input": _unknown_input, "other_rows": _other_rows,
    "contradicting_tensor": _contradicting_tensor, "not_a_number": _not_a_number,
    "another_model": _another_model, "unknown_output": _unknown_output, "empty": _empty,
}  # fmt: skip
