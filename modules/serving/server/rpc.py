"""The gRPC side: TF Serving's services, and gRPC's own for health."""

from collections.abc import Callable
from inspect import isawaitable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.server.errors import RequestError
from tfx_fusion.modules.serving.server.limits import Limits
from tfx_fusion.modules.serving.server.metrics import Metrics
from tfx_fusion.modules.serving.server.service import Service

OPTIONS = (
    ("grpc.max_send_message_length", -1),  # as TF Serving's
    ("grpc.so_reuseport", 0),  # a port in use is an error, not one shared by chance
)
SERVICES = ("tensorflow.serving.PredictionService", "tensorflow.serving.ModelService")
# A client takes 8 kB of trailers; a character may become 12 bytes in them.
LONGEST = 600


class _Rpc:
    """Answers a call by a method of the service; an error becomes the call's status."""

    def __init__(self, service: Service, metrics: Metrics) -> None:
        self._service, self._metrics = service, metrics

    async def _answer(self, context: Any, method: str, answer: Callable[[], Any]) -> Any:
        try:
            with self._metrics.request("grpc", method):
                found = answer()
                return await found if isawaitable(found) else found
        except RequestError as error:
            message = error.message
            if len(message) > LONGEST:
                message = f"{message[:LONGEST]}…"
            await context.abort(error.code, message)


class _Prediction(_Rpc, prediction_service_pb2_grpc.PredictionServiceServicer):
    async def Predict(self, request: Any, context: Any) -> Any:
        return await self._answer(context, "predict", lambda: self._service.predict(request))

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self._answer(context, "classify", lambda: self._service.classify(request))

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self._answer(context, "regress", lambda: self._service.regress(request))

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        return await self._answer(context, "metadata", lambda: self._service.metadata(request))

    async def MultiInference(self, request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "MultiInference: send several requests")


class _Model(_Rpc, model_service_pb2_grpc.ModelServiceServicer):
    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        return await self._answer(context, "status", lambda: self._service.status(request))

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> None:
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "the served folder cannot be changed")


class _Readable(grpc.aio.ServerInterceptor):
    """Refuses bytes that are not a message, which gRPC would answer as a failure of the server."""

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def answer(content: bytes, context: Any) -> Any:
            try:
                request = handler.request_deserializer(content)
            except DecodeError as error:
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"{details.method}: {error}")
            return await handler.unary_unary(request, context)

        return grpc.unary_unary_rpc_method_handler(answer, None, handler.response_serializer)


class RpcServer:
    """The gRPC server of a service."""

    def __init__(self, service: Service, metrics: Metrics, limits: Limits) -> None:
        self._service, self._metrics = service, metrics
        self._options = (*OPTIONS, ("grpc.max_receive_message_length", limits.body))
        self._health = health.aio.HealthServicer()

    async def start(self, host: str, port: int) -> int:
        """Listens, and returns the port, a free one for 0. Raises RunError where it is taken."""
        self._server = grpc.aio.server(
            interceptors=[_Readable()], options=self._options
        )  # belongs to the loop that runs now
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
            _Prediction(self._service, self._metrics), self._server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(
            _Model(self._service, self._metrics), self._server
        )
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        try:
            found = self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError:  # which has no reason
            raise RunError(
                f"gRPC: cannot listen on {host}:{port}: in use, or no address of this machine; "
                "choose another one (--grpc-port, --host)"
            ) from None
        for name in ("", *SERVICES):
            await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        await self._server.start()
        return found

    async def stop(self, grace: float) -> None:
        """Refuses new calls and waits for those in progress."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)
