"""Columns of tf.Examples as a Transform graph takes them: dense, sparse or ragged."""

from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import RunError


def parsing(name: str, spec: Any) -> Any:
    """How to parse a feature of a tf.Example for a tensor of a signature."""
    if isinstance(spec, tf.TensorSpec) and spec.shape[1:].is_fully_defined():
        stored = spec.dtype
        if stored != tf.string:
            stored = tf.float32 if stored.is_floating else tf.int64
        return tf.io.FixedLenFeature(spec.shape[1:].as_list(), stored)
    if isinstance(spec, tf.SparseTensorSpec) and spec.shape.rank == 2:
        return tf.io.VarLenFeature(spec.dtype)
    if isinstance(spec, tf.RaggedTensorSpec) and spec._ragged_rank == 1 and spec._shape.rank == 2:
        return tf.io.RaggedFeature(spec.dtype, name, row_splits_dtype=spec.row_splits_dtype)
    raise RunError(
        f"column '{name}': expected values of one shape or a list of values, found {spec} in the "
        "Transform graph's signature: describe the column so in the schema"
    )


def as_given(tensor: Any, spec: Any) -> Any:
    """A raw tensor as a Transform graph takes it: a padded one of a request becomes sparse."""
    if isinstance(spec, tf.TensorSpec) or not isinstance(tensor, tf.Tensor):
        return tensor
    if tensor.dtype == tf.string:
        present = tensor != ""
    elif tensor.dtype.is_floating:
        present = ~tf.math.is_nan(tensor)
    else:
        present = tf.ones_like(tensor, tf.bool)
    ragged = tf.ragged.boolean_mask(tensor, present)
    if isinstance(spec, tf.SparseTensorSpec):
        return ragged.to_sparse()
    return ragged.with_row_splits_dtype(spec.row_splits_dtype)


def nothing(spec: Any, batch: Any) -> Any:
    """What stands for a raw feature that is not given; nothing is computed from it."""
    if isinstance(spec, tf.TensorSpec):
        shape = tf.concat([[batch], tf.constant(spec.shape[1:].as_list(), tf.int32)], axis=0)
        return tf.fill(shape, tf.constant("" if spec.dtype == tf.string else 0, spec.dtype))
    empty = tf.fill([batch, 0], tf.constant("" if spec.dtype == tf.string else 0, spec.dtype))
    if isinstance(spec, tf.SparseTensorSpec):
        return tf.sparse.from_dense(empty)
    return tf.RaggedTensor.from_tensor(empty, row_splits_dtype=spec.row_splits_dtype)


def batch_size(tensor: Any) -> Any:
    """How many rows a raw tensor has."""
    if isinstance(tensor, tf.SparseTensor):
        return tf.cast(tensor.dense_shape[0], tf.int32)
    if isinstance(tensor, tf.RaggedTensor):
        return tf.cast(tensor.nrows(), tf.int32)
    return tf.shape(tensor)[0]


def row_ids(tensor: Any) -> Any:
    """A column of ids `(batch, …)`, text or numbers, as text `(batch,)`."""
    texts = tensor if tensor.dtype == tf.string else tf.strings.as_string(tensor)
    return tf.reshape(texts, [tf.shape(texts)[0], -1])[:, 0]


def fault(feature: tf.train.Feature | None, parsing: Any) -> str:
    """What is wrong with a feature of a tf.Example; empty where it can be parsed."""
    kinds = {"bytes_list": "string", "float_list": "float32", "int64_list": "int64"}
    kind = feature.WhichOneof("kind") if feature is not None else None
    values = getattr(feature, kind).value if feature is not None and kind else []
    dtype = parsing.dtype.name
    if kind and len(values) and kinds[kind] != dtype:
        return f"expected {dtype}, found {kinds[kind]}"
    if isinstance(parsing, tf.io.FixedLenFeature):
        size = tf.TensorShape(parsing.shape).num_elements()
        if len(values) != size:
            return (
                f"expected {size} {dtype} value{'s' * (size != 1)}, found {len(values) or 'none'}"
            )
    return ""
