"""The REST side: TF Serving's paths, health for a load balancer, and Prometheus's page."""

import asyncio
import json
import zlib
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

import grpc
from aiohttp import web
from google.protobuf import json_format
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_pb2,
    regression_pb2,
)

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.versions import is_version
from tfx_fusion.modules.serving.server import examples, json_tensors
from tfx_fusion.modules.serving.server.errors import RequestError, invalid
from tfx_fusion.modules.serving.server.limits import (
    LOOPBACK_NAMES,
    Limits,
    check_values,
    is_allowed_host,
)
from tfx_fusion.modules.serving.server.metrics import Metrics
from tfx_fusion.modules.serving.server.servable import Arrays, Servable
from tfx_fusion.modules.serving.server.service import Service

MODEL = r"/v1/models/{name:[^/:]+}"
VERSION = r"/versions/{version:[0-9]+}"
LABEL = r"/labels/{label:[^/:]+}"
METRICS_PATH = "/monitoring/prometheus/metrics"  # TF Serving's own
HEALTH_PATH = "/healthz"
CHUNK = 64 << 10
LARGE = 64 << 10  # bytes of JSON that are worth a thread
POLL_SECONDS = 1.0
SHOWN = 20  # characters of a version that is none
GZIP = 16 + zlib.MAX_WBITS
# As TF Serving translates them.
HTTP = {
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 412,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class RestServer:
    """The HTTP server of a service."""

    def __init__(
        self,
        service: Service,
        metrics: Metrics,
        grace: float,
        limits: Limits,
        allowed_hosts: Collection[str],
    ) -> None:
        self._service, self._metrics, self._limits = service, metrics, limits
        self._allowed_hosts = allowed_hosts
        # Connections that have sent a whole header, and when each of the others was opened.
        self._with_header: set[Any] = set()
        self._opened: dict[Any, float] = {}
        app = web.Application(
            client_max_size=limits.body, middlewares=[_errors_as_json, self._check_request]
        )
        for path in (MODEL, MODEL + VERSION, MODEL + LABEL):
            app.router.add_get(path, self._status)
            app.router.add_get(f"{path}/metadata", self._metadata)
            app.router.add_post(f"{path}:{{method:predict|classify|regress}}", self._ask)
        app.router.add_get(HEALTH_PATH, self._healthy)
        app.router.add_get(METRICS_PATH, self._measures)
        app.router.add_route("*", "/{other:.*}", _malformed)
        self._closing: asyncio.Future[None] | None = None
        # aiohttp does not answer a client whose compressed body ends early.
        self._runner = web.AppRunner(
            app, access_log=None, shutdown_timeout=grace, auto_decompress=False
        )

    async def start(self, host: str, port: int) -> int:
        """Listens, and returns the port, a free one for 0. Raises RunError where it is taken."""
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            raise RunError(
                f"REST: cannot listen on {host}:{port}: {error.strerror}; "
                "choose another one (--rest-port, --host)"
            ) from None
        self._closing = asyncio.ensure_future(self._close_connections())
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Refuses new requests and waits for those in progress, for `grace` seconds at most."""
        if self._closing:
            self._closing.cancel()
        await self._runner.cleanup()

    async def _close_connections(self) -> None:
        """Closes the connections of clients that are too slow, and those that are too many."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = asyncio.get_running_loop().time()
            # In the order in which they were opened.
            connections = list(self._runner.server.connections if self._runner.server else ())
            self._with_header &= set(connections)
            self._opened = {one: self._opened.get(one, now) for one in connections}
            for number, connection in enumerate(connections):
                late = now - self._opened[connection] > self._limits.seconds
                too_many = number >= self._limits.connections
                if connection not in self._with_header and (late or too_many):
                    connection.force_close()

    @web.middleware
    async def _check_request(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        open_now = sum(one.transport is not None for one in self._with_header - {request.protocol})
        if open_now >= self._limits.connections:
            raise RequestError(
                grpc.StatusCode.UNAVAILABLE,
                f"{self._limits.connections} connections are open already: try again",
            )
        self._with_header.add(request.protocol)
        if not is_allowed_host(request.host, self._allowed_hosts):
            raise web.HTTPMisdirectedRequest(
                text=f"Host: expected an address or one of {', '.join(self._names())}, found "
                f"{request.host!a}: name it by --allowed-host"
            )
        return await handler(request)

    def _names(self) -> list[str]:
        return sorted({*LOOPBACK_NAMES, *self._allowed_hosts})

    async def _ask(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        try:
            async with asyncio.timeout(self._limits.seconds):
                packed = await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(
                text=f"expected the whole body within {self._limits.seconds:g} s"
            ) from None
        body = await _unpacked(request, packed, self._limits.body)
        check_values(body, self._limits)
        answers = {"predict": self._predict, "classify": self._classify, "regress": self._regress}
        with self._metrics.request("rest", method):
            return _json(await answers[method](_spec(request), body))

    async def _predict(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        servable = self._service.servable(spec)
        asked, inputs = await _in_thread(len(body), _read_predict, body, servable)
        outputs = await self._service.outputs(servable, asked.signature, inputs)
        size = sum(array.nbytes for array in outputs.values())
        return await _in_thread(size, json_tensors.answer_to_json, outputs, asked.by_rows)

    async def _classify(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = classification_pb2.ClassificationRequest(model_spec=spec)
        await _in_thread(len(body), examples.fill_from_json, request, body)
        return examples.classes_to_json((await self._service.classify(request)).result)

    async def _regress(self, spec: model_pb2.ModelSpec, body: bytes) -> str:
        request = regression_pb2.RegressionRequest(model_spec=spec)
        await _in_thread(len(body), examples.fill_from_json, request, body)
        return examples.numbers_to_json((await self._service.regress(request)).result)

    async def _status(self, request: web.Request) -> web.Response:
        asked = get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(request))
        with self._metrics.request("rest", "status"):
            return _json(_to_json(self._service.status(asked)))

    async def _metadata(self, request: web.Request) -> web.Response:
        asked = get_model_metadata_pb2.GetModelMetadataRequest(
            model_spec=_spec(request), metadata_field=["signature_def"]
        )
        with self._metrics.request("rest", "metadata"):
            found = self._service.metadata(asked)
            signatures = get_model_metadata_pb2.SignatureDefMap()
            found.metadata["signature_def"].Unpack(signatures)
            spec, definitions = (
                json.loads(_to_json(found.model_spec)),
                json.loads(_to_json(signatures)),
            )
            return _json(
                json.dumps({"model_spec": spec, "metadata": {"signature_def": definitions}})
            )

    async def _healthy(self, request: web.Request) -> web.Response:
        available = self._service.model.available
        return web.Response(
            text="ok" if available else "no version", status=200 if available else 503
        )

    async def _measures(self, request: web.Request) -> web.Response:
        page = generate_latest(self._metrics.registry)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE_LATEST})


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RequestError as error:
        return _json(json.dumps({"error": error.message}), HTTP.get(error.code, 500))
    except web.HTTPException as error:
        return _json(json.dumps({"error": error.text or error.reason}), error.status)


async def _malformed(request: web.Request) -> web.Response:
    raise invalid(f"Malformed request: {request.method} {request.path}")  # TF Serving's words


async def _in_thread(size: int, function: Callable[..., T], *arguments: Any) -> T:
    """Calls a function, beside the event loop where `size` bytes take a while."""
    if size < LARGE:
        return function(*arguments)
    return await asyncio.to_thread(function, *arguments)


def _read_predict(body: bytes, servable: Servable) -> tuple[json_tensors.PredictBody, Arrays]:
    asked = json_tensors.parse_predict(body)
    return asked, json_tensors.arrays_of(asked, servable.inputs_of(asked.signature))


async def _unpacked(request: web.Request, body: bytes, largest: int) -> bytes:
    """The body of a request, decompressed where it is gzip, as for TF Serving.

    Raises RequestError where it is damaged, HTTPException where it is too large or in another
    encoding.
    """
    encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "x-gzip"):
        raise web.HTTPUnsupportedMediaType(
            text=f"Content-Encoding: expected gzip or none, found {encoding!a}"
        )
    return await asyncio.to_thread(_unzipped, body, largest)


def _unzipped(body: bytes, largest: int) -> bytes:
    # Counted first, so that a body that is too large never takes the memory.
    size = _unzipped_size(body, largest)
    return zlib.decompress(body, GZIP, bufsize=max(size, 1))


def _unzipped_size(body: bytes, largest: int) -> int:
    unzip, size = zlib.decompressobj(GZIP), 0
    try:
        for start in range(0, len(body), CHUNK):
            rest = body[start : start + CHUNK]
            while rest:
                size += len(unzip.decompress(rest, CHUNK))
                if size > largest:
                    raise web.HTTPRequestEntityTooLarge(largest)
                rest = unzip.unconsumed_tail
    except zlib.error as error:
        raise invalid(f"the body is not gzip, as its Content-Encoding says: {error}") from None
    if not unzip.eof or unzip.unused_data:
        raise invalid("the body is not one whole gzip file, as its Content-Encoding says")
    return size


def _spec(request: web.Request) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=request.match_info["name"])
    version = request.match_info.get("version")
    if version is not None:
        if not is_version(version):
            raise invalid(f"version {version[:SHOWN]} is not an int64")
        spec.version.value = int(version)
    if "label" in request.match_info:
        spec.version_label = request.match_info["label"]
    return spec


def _to_json(message: Any) -> str:
    return json_format.MessageToJson(
        message, always_print_fields_with_no_presence=True, preserving_proto_field_name=True
    )


def _json(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="application/json")
