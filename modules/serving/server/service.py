"""The server's operations for both protocols, in TF Serving's own messages."""

from collections import Counter

import tensorflow as tf
from google.protobuf import any_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    predict_pb2,
    regression_pb2,
)

from tfx_fusion.modules.serving.server.batching import Batcher
from tfx_fusion.modules.serving.server.errors import invalid
from tfx_fusion.modules.serving.server.examples import classifications, regressions, serialized
from tfx_fusion.modules.serving.server.servable import Arrays, Servable
from tfx_fusion.modules.serving.server.served_model import ServedModel
from tfx_fusion.modules.serving.server.tensors import arrays_of, proto_of


class Service:
    """Answers requests with a served model. Raises RequestError, or what the model raises."""

    def __init__(self, model: ServedModel, batcher: Batcher) -> None:
        self.model = model
        self._batcher = batcher

    def servable(self, spec: model_pb2.ModelSpec) -> Servable:
        """The version that a request names, or the newest."""
        return self.model.servable(spec.name, self._version_of(spec))

    async def predict(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
        servable = self.servable(request.model_spec)
        signature = request.model_spec.signature_name
        outputs = await self.outputs(servable, signature, arrays_of(request.inputs))
        twice = [name for name, count in Counter(request.output_filter).items() if count > 1]
        if twice:
            raise invalid(f"output_filter: found {', '.join(twice)} more than once")
        unknown = sorted(set(request.output_filter) - outputs.keys())
        if unknown:
            raise invalid(
                f"output_filter: there is no output {', '.join(unknown)}; "
                f"there are {', '.join(sorted(outputs))}"
            )
        wanted = request.output_filter or outputs
        return predict_pb2.PredictResponse(
            model_spec=_spec(self.model.name, servable, signature),
            outputs={name: proto_of(outputs[name]) for name in wanted},
        )

    async def outputs(self, servable: Servable, signature: str, inputs: Arrays) -> Arrays:
        """What a signature gives, computed together with other requests."""
        return await self._batcher.run(servable, signature, inputs)

    async def classify(
        self, request: classification_pb2.ClassificationRequest
    ) -> classification_pb2.ClassificationResponse:
        spec, outputs = await self._of_examples(request)
        return classification_pb2.ClassificationResponse(
            model_spec=spec, result=classifications(outputs)
        )

    async def regress(
        self, request: regression_pb2.RegressionRequest
    ) -> regression_pb2.RegressionResponse:
        spec, outputs = await self._of_examples(request)
        return regression_pb2.RegressionResponse(model_spec=spec, result=regressions(outputs))

    async def _of_examples(
        self, request: classification_pb2.ClassificationRequest | regression_pb2.RegressionRequest
    ) -> tuple[model_pb2.ModelSpec, Arrays]:
        servable = self.servable(request.model_spec)
        signature = request.model_spec.signature_name
        examples = serialized(servable, signature, request.input)
        outputs = await self.outputs(servable, signature, examples)
        return _spec(self.model.name, servable, signature), outputs

    def metadata(
        self, request: get_model_metadata_pb2.GetModelMetadataRequest
    ) -> get_model_metadata_pb2.GetModelMetadataResponse:
        servable = self.servable(request.model_spec)
        if list(request.metadata_field) != ["signature_def"]:
            raise invalid(
                f"metadata_field: expected signature_def, found {list(request.metadata_field)}"
            )
        signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=servable.signature_defs)
        packed = any_pb2.Any()
        packed.Pack(signatures)
        return get_model_metadata_pb2.GetModelMetadataResponse(
            model_spec=_spec(self.model.name, servable, None), metadata={"signature_def": packed}
        )

    def status(
        self, request: get_model_status_pb2.GetModelStatusRequest
    ) -> get_model_status_pb2.GetModelStatusResponse:
        found = self.model.statuses(request.model_spec.name, self._version_of(request.model_spec))
        response = get_model_status_pb2.GetModelStatusResponse()
        for version, status in sorted(found.items(), reverse=True):
            added = response.model_version_status.add(version=version, state=status.state)
            added.status.error_code = tf.errors.OK
            if status.error is not None:
                added.status.error_code = status.error.code.value[0]
                added.status.error_message = status.error.message
        return response

    def _version_of(self, spec: model_pb2.ModelSpec) -> int | None:
        """The version that a request names, by number or label, if it does."""
        if spec.WhichOneof("version_choice") == "version_label":
            return self.model.version_of(spec.version_label)
        return spec.version.value if spec.HasField("version") else None


def _spec(name: str, servable: Servable, signature: str | None) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=name)
    if signature is not None:
        spec.signature_name = servable.signature_name(signature)
    spec.version.value = servable.version
    return spec
