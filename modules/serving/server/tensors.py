"""Tensors as they travel over gRPC, to and from arrays."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2

from tfx_fusion.modules.serving.server.errors import invalid

# TF Serving answers with values in the field of their type, where every client looks for them.
FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int32: "int_val",
    tf.int64: "int64_val",
    tf.string: "string_val",
    tf.bool: "bool_val",
}
# A tensor may omit repeated values; one that omits more is refused, since a few bytes could
# otherwise request all memory.
MAX_OMITTED = 1 << 20


def arrays_of(protos: Mapping[str, tensor_pb2.TensorProto]) -> dict[str, np.ndarray]:
    """The inputs of a request as arrays. Raises RequestError where one contradicts itself."""
    return {name: _array(name, proto) for name, proto in protos.items()}


def _array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    sizes = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or any(size < 0 for size in sizes):
        raise invalid(f"input '{name}': expected a shape of whole numbers, found {sizes or '?'}")
    wanted, given = math.prod(sizes), proto.ByteSize()
    if wanted > max(given, MAX_OMITTED):
        raise invalid(f"input '{name}': shape {sizes} wants {wanted} values, found {given} bytes")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, ValueError, KeyError, IndexError, OverflowError) as error:
        raise invalid(f"input '{name}': its values do not fill shape {sizes}: {error}") from None


def proto_of(array: np.ndarray) -> tensor_pb2.TensorProto:
    """An output as it travels."""
    kind = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
    field = FIELDS.get(kind)
    if field is None:
        return tf.make_tensor_proto(array)
    dims = [tensor_shape_pb2.TensorShapeProto.Dim(size=size) for size in array.shape]
    values: dict[str, Any] = {field: array.ravel().tolist()}
    return tensor_pb2.TensorProto(
        dtype=kind.as_datatype_enum,
        tensor_shape=tensor_shape_pb2.TensorShapeProto(dim=dims),
        **values,
    )
