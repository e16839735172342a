"""One loaded version: its signatures, asked with arrays."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.serving.server.errors import RequestError, invalid
from tfx_fusion.modules.serving.server.tensors import arrays_of
from tfx_fusion.modules.tokens.loading import load_saved_model

DEFAULT_SIGNATURE = "serving_default"
# Requests that TF Serving answers when it loads a version: a TFRecord of PredictionLog
# (guide "SavedModel Warmup").
WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
MAX_WARMUP_REQUESTS = 1000  # TF Serving refuses a model with more

Arrays = dict[str, np.ndarray]


class Servable:
    """A version of a model, loaded and warm. Its signatures may be asked from several threads."""

    def __init__(self, path: Path) -> None:
        """Loads a version folder and answers its warm-up requests; raises TensorFlow's errors."""
        self.version = int(path.name)
        self.signature_defs = read_signature_defs(path)
        self._loaded = load_saved_model(str(path))  # a signature does not keep it alive
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
        """The signature that a request names, or the default one.

        Raises RequestError where there is no such signature.
        """
        found = name or DEFAULT_SIGNATURE
        if found not in self._inputs:
            raise RequestError(
                grpc.StatusCode.FAILED_PRECONDITION,  # as TF Serving's
                f"there is no signature '{found}'; {suggestion(found, self._inputs)}",
            )
        return found

    def inputs_of(self, signature: str) -> dict[str, tf.TensorSpec]:
        """The inputs that a signature takes."""
        return self._inputs[self.signature_name(signature)]

    def check(self, signature: str, inputs: Mapping[str, np.ndarray]) -> None:
        """Raises RequestError where inputs are not those that a signature takes.

        Their shapes are the model's to check, as in TF Serving: `half_plus_two` of its guide
        declares `(batch, 1)` and is asked with `(batch,)`.
        """
        specs = self.inputs_of(signature)
        if inputs.keys() != specs.keys():
            raise invalid(
                f"signature '{self.signature_name(signature)}' takes the inputs "
                f"{', '.join(sorted(specs))}; found {', '.join(sorted(inputs)) or 'none'}"
            )
        for name, spec in specs.items():
            array = inputs[name]
            kind = tf.string if array.dtype == object else tf.as_dtype(array.dtype)
            if kind != spec.dtype:
                raise invalid(
                    f"input '{name}': expected {spec.dtype.name} {spec.shape}, "
                    f"found {kind.name} {array.shape}"
                )

    def rows(self, signature: str, inputs: Mapping[str, np.ndarray]) -> int | None:
        """How many rows a request has; None where it cannot be batched with others.

        That needs an open first dimension of every input and output, of one size in the request.
        """
        specs = self.inputs_of(signature)
        if not self._by_rows[self.signature_name(signature)] or any(
            not specs[name].shape.is_compatible_with(array.shape) for name, array in inputs.items()
        ):
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


def write_warmup(version: Path, requests: Iterable[predict_pb2.PredictRequest]) -> None:
    """Writes warm-up requests into a version folder."""
    file = version / WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(file)) as writer:
        for request in requests:
            log = prediction_log_pb2.PredictionLog()
            log.predict_log.request.CopyFrom(request)
            # Deterministic, because a published model is identified by the digest of its files.
            writer.write(log.SerializeToString(deterministic=True))


def read_warmup(version: Path) -> list[predict_pb2.PredictRequest]:
    """The warm-up requests in a version folder; logs of other kinds are skipped."""
    file = version / WARMUP_FILE
    if not file.is_file():
        return []
    records = tf.data.TFRecordDataset(str(file)).take(MAX_WARMUP_REQUESTS).as_numpy_iterator()
    logs = map(prediction_log_pb2.PredictionLog.FromString, records)
    return [log.predict_log.request for log in logs if log.HasField("predict_log")]
