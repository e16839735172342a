"""One loaded version: its signatures, asked with arrays."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.serving.server.refusal import RefusalError, invalid
from tfx_fusion.modules.serving.server.tensors import arrays_of
from tfx_fusion.modules.serving.warmup import read_warmup

DEFAULT_SIGNATURE = "serving_default"
log = logging.getLogger("fusion.serving")

Arrays = dict[str, np.ndarray]


class Servable:
    """A version of a model, loaded and warm. Its signatures may be asked from several threads."""

    def __init__(self, path: Path) -> None:
        """Loads a version folder and answers its warm-up requests; raises what goes wrong."""
        self.version = int(path.name)
        self.signature_defs = read_signature_defs(path)
        self._loaded = tf.saved_model.load(str(path))  # a signature does not keep it alive
        self._inputs = {
            name: dict(function.structured_input_signature[1])
            for name, function in self._loaded.signatures.items()
        }
        self._by_rows = {
            name: all(
                spec.shape.rank and spec.shape[0] is None
                for spec in (*self._inputs[name].values(), *function.structured_outputs.values())
            )
            for name, function in self._loaded.signatures.items()
        }
        for request in read_warmup(path):
            self.run(request.model_spec.signature_name, arrays_of(request.inputs))

    def signature_name(self, name: str) -> str:
        """The signature a request means. Raises RefusalError where there is none of that name."""
        found = name or DEFAULT_SIGNATURE
        if found not in self._inputs:
            raise RefusalError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"there is no signature '{found}'; {suggestion(found, self._inputs)}",
            )
        return found

    def inputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs that a signature takes."""
        return self._inputs[self.signature_name(signature)]

    def check(self, signature: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises RefusalError where inputs are not those that a signature takes."""
        specs = self.inputs_of(signature)
        if inputs.keys() != specs.keys():
            raise invalid(
                f"signature '{self.signature_name(signature)}' takes the inputs "
                f"{', '.join(sorted(specs))}; found {', '.join(sorted(inputs)) or 'none'}"
            )
        for name, spec in specs.items():
            array = inputs[name]
            kind = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
            if kind != spec.dtype or not spec.shape.is_compatible_with(array.shape):
                raise invalid(
                    f"input '{name}': expected {spec.dtype.name} {spec.shape}, "
                    f"found {kind.name} {array.shape}"
                )

    def rows(self, signature: str, inputs: Mapping[str, np.ndarray]) -> int | None:
        """How many rows a request has; None where it cannot be put together with others.

        That needs a first dimension left open in every input and output, and of one size in the
        request.
        """
        if not self._by_rows[self.signature_name(signature)]:
            return None
        sizes = {len(array) for array in inputs.values()}
        return sizes.pop() if len(sizes) == 1 else None

    def run(self, signature: str, inputs: Mapping[str, np.ndarray]) -> Arrays:
        """The outputs of a signature for inputs that were checked."""
        function = self._loaded.signatures[self.signature_name(signature)]
        specs = self.inputs_of(signature)
        tensors = {name: tf.constant(inputs[name], specs[name].dtype) for name in specs}
        outputs: dict[str, Any] = function(**tensors)
        return {name: value.numpy() for name, value in outputs.items()}


def read_signature_defs(path: Path) -> dict[str, meta_graph_pb2.SignatureDef]:
    """The signatures as the saved model describes them; ValueError where it cannot be read."""
    try:
        saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ValueError(f"{path / 'saved_model.pb'} is damaged: {error}") from None
    found = {}
    for name, definition in saved.meta_graphs[0].signature_def.items():
        found[name] = meta_graph_pb2.SignatureDef()
        found[name].CopyFrom(definition)  # a part would keep the whole graph in memory
    return found
