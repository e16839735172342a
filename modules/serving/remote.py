"""A model behind a server: TF Serving or `fusion serve`, over gRPC or REST."""

import base64
import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn
from urllib.parse import urlsplit

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.predictor import Predictor, RowsError
from tfx_fusion.modules.spec import Fusion
from tfx_fusion.modules.spec.feature_part import Stored

SECONDS = 60
DTYPES = {"float32": np.float32, "int64": np.int64, "string": object}


def remote_model(specification: Fusion, address: str) -> Predictor:
    """The model of a specification's name behind `grpc://HOST:PORT` or `http://HOST:PORT`.

    Raises RunError where no server answers there, or it does not serve that model.
    """
    parts = urlsplit(address)
    kinds: dict[str, type[OverGrpc | OverRest]] = {
        "grpc": OverGrpc, "http": OverRest, "https": OverRest,
    }  # fmt: skip
    if parts.scheme not in kinds or not parts.netloc:
        raise RunError(
            f"{address}: expected the address of a server, grpc://HOST:PORT or http://HOST:PORT"
        )
    return RemoteModel(specification, kinds[parts.scheme](specification.name, address))


def typed(stored: Stored, values: np.ndarray) -> np.ndarray:
    """Values `(batch, …)` of an input in the dtype that a served model takes."""
    return values.astype(DTYPES[stored.dtype])


def predict_request(
    model: str, inputs: Mapping[str, Any], signature: str = ""
) -> predict_pb2.PredictRequest:
    """The request for the answers to inputs; by the default signature unless one is given."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, values in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return request


class OverGrpc:
    """Any model of a server, asked with TF Serving's own stubs."""

    def __init__(self, name: str, address: str) -> None:
        """`inputs` are those of the model's `serving_default`."""
        self._address, self._name = address, name
        unbounded = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        channel = grpc.insecure_channel(urlsplit(address).netloc, options=unbounded)
        self._stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = name
        try:
            response = self._stub.GetModelMetadata(request, timeout=SECONDS)
        except grpc.RpcError as error:
            self._fail(error)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        self.inputs: Collection[str] = signatures.signature_def["serving_default"].inputs

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for inputs `(batch, …)` in the model's own dtypes."""
        try:
            response = self._stub.Predict(predict_request(self._name, inputs), timeout=SECONDS)
        except grpc.RpcError as error:
            if error.code() == grpc.StatusCode.INVALID_ARGUMENT:
                raise RowsError(error.details()) from None
            self._fail(error)
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def _fail(self, error: grpc.RpcError) -> NoReturn:
        raise RunError(_failed(self._address, error.code().name, error.details())) from None


class OverRest:
    """Any model of a server, asked by columns, with all text as base64."""

    def __init__(self, name: str, address: str) -> None:
        """`inputs` are those of the model's `serving_default`."""
        self._address = address
        self._session = requests.Session()
        self._url = f"{address.rstrip('/')}/v1/models/{name}"
        found = self._answer("GET", "/metadata")
        signature = found["metadata"]["signature_def"]["signature_def"]["serving_default"]
        self.inputs: Collection[str] = signature["inputs"]
        self._outputs: Collection[str] = signature["outputs"]

    def ask(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs for inputs `(batch, …)` in the model's own dtypes."""
        columns = {name: in_json(values.tolist()) for name, values in inputs.items()}
        outputs = self._answer("POST", ":predict", {"inputs": columns})["outputs"]
        if not isinstance(outputs, dict):  # a lone output goes without its name
            outputs = {next(iter(self._outputs)): outputs}
        return {name: np.array(values) for name, values in outputs.items()}

    def _answer(self, method: str, path: str, body: Any = None) -> Any:
        # Not as `json=`, which refuses NaN: it stands for a number that a row lacks.
        data = None if body is None else json.dumps(body)
        try:
            answer = self._session.request(method, f"{self._url}{path}", data=data, timeout=SECONDS)
            content = answer.json()
        except requests.RequestException as error:
            raise RunError(_failed(self._address, type(error).__name__, str(error))) from None
        if answer.status_code == 400 and body is not None:
            raise RowsError(content["error"])
        if not answer.ok:
            raise RunError(_failed(self._address, str(answer.status_code), content["error"]))
        return content


class RemoteModel(Predictor):
    """A model of this project behind a server."""

    def __init__(self, specification: Fusion, client: OverGrpc | OverRest) -> None:
        self._client = client
        super().__init__(specification, client.inputs)

    def ask(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return self._client.ask(
            {name: typed(self._columns[name], values) for name, values in inputs.items()}
        )


def _failed(address: str, code: str, message: str) -> str:
    return (
        f"{address}: expected an answer, found {code}: {message}; see whether the model is served"
    )


def in_json(value: Any) -> Any:
    """Values of a tensor as JSON, bytes as base64."""
    if isinstance(value, list):
        return [in_json(item) for item in value]
    return {"b64": base64.b64encode(value).decode()} if isinstance(value, bytes) else value
