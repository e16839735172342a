"""Tensors as they travel over REST, to and from arrays (TF Serving's guide "RESTful API").

Rows: `{"instances": [{name: value, …}, …]}` to `{"predictions": […]}`; columns:
`{"inputs": {name: [value, …], …}}` to `{"outputs": {…}}`. A name is left out where there is only
one. Bytes are `{"b64": "…"}`; NaN and Infinity stand as they are, as JavaScript writes them.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.serving.server.errors import invalid
from tfx_fusion.modules.serving.server.servable import Arrays

Specs = Mapping[str, tf.TensorSpec]
SHOWN = 80
MAX_DIMENSIONS = 32


class PredictBody(NamedTuple):
    """A parsed request body."""

    content: dict[str, Any]
    signature: str
    by_rows: bool


def parse(body: bytes) -> dict[str, Any]:
    """A request's JSON object. Raises RequestError where it is not one."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise invalid(f"JSON parse error: {error}") from None
    if not isinstance(content, dict):
        raise invalid(f"expected a JSON object, found {shown(content)}")
    signature = content.get("signature_name", "")
    if not isinstance(signature, str) or not signature.isprintable():  # a lone surrogate is not
        raise invalid(f"signature_name: expected a string, found {shown(signature)}")
    return content


def parse_predict(body: bytes) -> PredictBody:
    """The body of a `:predict` request. Raises RequestError where it is not one."""
    content = parse(body)
    if ("instances" in content) == ("inputs" in content):
        raise invalid("expected either 'instances' (rows) or 'inputs' (columns)")
    return PredictBody(content, content.get("signature_name", ""), "instances" in content)


def arrays_of(asked: PredictBody, specs: Specs) -> Arrays:
    """The inputs of a request as arrays, of the dtypes that the signature wants."""
    if asked.by_rows:
        columns = _columns(asked.content["instances"], specs)
    else:
        columns = asked.content["inputs"]
        if not isinstance(columns, dict) or is_base64(columns):
            columns = {_only(specs, "inputs"): columns}
        _check_names(columns, specs, "inputs")
    return {name: _array(name, columns[name], spec.dtype) for name, spec in specs.items()}


def _columns(instances: Any, specs: Specs) -> dict[str, list[Any]]:
    if not isinstance(instances, list) or not instances:
        raise invalid(f"instances: expected a list of rows, found {shown(instances)}")
    named = [isinstance(row, dict) and not is_base64(row) for row in instances]
    if not any(named):
        return {_only(specs, "instances"): instances}
    if not all(named):
        raise invalid(f"instances: row {named.index(False)} has no names, as others have")
    for position, row in enumerate(instances):
        _check_names(row, specs, f"instances: row {position}")
    return {name: [row[name] for row in instances] for name in specs}


def _only(specs: Specs, key: str) -> str:
    if len(specs) != 1:
        raise invalid(f"{key}: expected values by name, for there are {', '.join(sorted(specs))}")
    return next(iter(specs))


def _check_names(given: Mapping[str, Any], specs: Specs, where: str) -> None:
    if given.keys() != specs.keys():
        raise invalid(
            f"{where}: expected {', '.join(sorted(specs))}; "
            f"found {', '.join(sorted(given)) or 'none'}"
        )


def _array(name: str, value: Any, dtype: tf.DType) -> np.ndarray:
    leaves: list[Any] = []
    try:
        shape = _shape(value)
        _flatten(value, shape, dtype, leaves)
        kind = object if dtype == tf.string else dtype.as_numpy_dtype
        with np.errstate(over="raise"):
            return np.array(leaves, dtype=kind).reshape(shape)
    except (ValueError, OverflowError, FloatingPointError) as error:
        raise invalid(f"input '{name}': {error}") from None


def _shape(value: Any) -> list[int]:
    shape = []
    while isinstance(value, list):
        shape.append(len(value))
        if len(shape) > MAX_DIMENSIONS:
            raise ValueError(f"expected at most {MAX_DIMENSIONS} nested lists")
        value = value[0] if value else None
    return shape


def _flatten(value: Any, shape: list[int], dtype: tf.DType, leaves: list[Any]) -> None:
    if not shape:
        leaves.append(_leaf(value, dtype))
        return
    if not isinstance(value, list) or len(value) != shape[0]:
        raise ValueError(f"expected a list of {shape[0]}, found {shown(value)}")
    for item in value:
        _flatten(item, shape[1:], dtype, leaves)


def _leaf(value: Any, dtype: tf.DType) -> Any:
    if dtype == tf.string and is_base64(value):
        return decoded(value["b64"])
    kinds = {tf.string: str, tf.bool: bool}.get(dtype, int if dtype.is_integer else (int, float))
    fits = isinstance(value, kinds) and (dtype == tf.bool or not isinstance(value, bool))
    if not fits:
        raise ValueError(f"expected {dtype.name}, found {shown(value)}")
    if dtype == tf.string:
        return value.encode("utf-8")
    return value


def is_base64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def decoded(text: str) -> bytes:
    text = "".join(text.split())  # lines may be broken, and padding left out, as for TF Serving
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"not base64: {error}") from None


def shown(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except RecursionError:
        return "values nested too deeply"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def answer_to_json(outputs: Arrays, by_rows: bool) -> str:
    """The body of an answer. Raises RequestError where outputs have no rows in common."""
    values = {name: _plain(name, array) for name, array in sorted(outputs.items())}
    single = next(iter(values.values())) if len(values) == 1 else None
    if not by_rows:
        return json.dumps({"outputs": values if single is None else single})
    sizes = {array.shape[:1] for array in outputs.values()}
    if len(sizes) != 1 or () in sizes:
        raise invalid("the outputs differ in their first dimension: ask by columns, with 'inputs'")
    if single is not None:
        return json.dumps({"predictions": single})
    rows = [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)]
    return json.dumps({"predictions": rows})


def _plain(name: str, array: np.ndarray) -> Any:
    if array.dtype == object:
        as_bytes = name.endswith("_bytes")  # TF Serving's convention for outputs that are not text
        return _texts(array.tolist(), as_bytes)
    if array.dtype.kind == "f" and array.dtype != np.float64:
        # The shortest digits that give back the same float32, not those of its float64.
        return array.astype(str).astype(np.float64).tolist()
    return array.tolist()


def _texts(value: Any, as_bytes: bool) -> Any:
    if isinstance(value, list):
        return [_texts(item, as_bytes) for item in value]
    if as_bytes:
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", errors="replace")
