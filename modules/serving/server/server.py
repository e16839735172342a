"""A model server: both protocols in front of one served model."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.server.batching import Batcher
from tfx_fusion.modules.serving.server.limits import Limits
from tfx_fusion.modules.serving.server.metrics import Metrics
from tfx_fusion.modules.serving.server.rest import RestServer
from tfx_fusion.modules.serving.server.rpc import RpcServer
from tfx_fusion.modules.serving.server.served_model import ServedModel
from tfx_fusion.modules.serving.server.service import Service

GRACE_SECONDS = 30.0


class Settings(NamedTuple):
    """What is served, and where.

    `name` is the model's for clients, `folder` its publish folder. Port 0 is a free one. `labels`
    are versions that are served beside the newest, by a name for clients. `allowed_hosts` are names
    by which clients reach the server over REST, beside `host` and those of this machine.
    """

    name: str
    folder: Path
    host: str = "127.0.0.1"
    grpc_port: int = 0
    rest_port: int = 0
    labels: tuple[tuple[str, int], ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    limits: Limits = Limits()


class ModelServer:
    """Serves the newest version in a publish folder; to be used within one event loop."""

    def __init__(self, settings: Settings) -> None:
        """The publish folder of the settings is watched for new versions."""
        metrics, limits = Metrics(), settings.limits
        self._settings = settings
        self._model = ServedModel(
            settings.name, settings.folder, metrics.load, dict(settings.labels)
        )
        self._batcher = Batcher(metrics.batch)
        service = Service(self._model, self._batcher)
        self._rpc = RpcServer(service, metrics, limits)
        hosts = [name.lower() for name in (settings.host, *settings.allowed_hosts)]
        self._rest = RestServer(service, metrics, GRACE_SECONDS, limits, hosts)

    async def start(self) -> tuple[int, int]:
        """Loads the newest version, then listens; returns both ports, free ones for 0.

        Raises RunError where there is no version, it cannot be loaded, or a port is taken.
        """
        await self._model.start()
        grpc_found = await self._rpc.start(self._settings.host, self._settings.grpc_port)
        try:
            rest_found = await self._rest.start(self._settings.host, self._settings.rest_port)
        except RunError:
            await asyncio.gather(self._rpc.stop(0.0), self._rest.stop())
            raise
        self._watching = asyncio.ensure_future(self._model.watch())
        return grpc_found, rest_found

    async def stop(self) -> None:
        """Refuses new requests, answers those in progress, and ends."""
        self._watching.cancel()
        await asyncio.gather(self._rpc.stop(GRACE_SECONDS), self._rest.stop())
        self._batcher.close()


async def serve(settings: Settings, on_ready: Callable[[int, int], None]) -> None:
    """Serves until the process gets SIGTERM or SIGINT.

    `on_ready` is called with both ports when the server is ready.
    """
    server = ModelServer(settings)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    on_ready(*await server.start())
    await ended.wait()
    await server.stop()


if __name__ == "__main__":  # FOLDER NAME GRPC_PORT REST_PORT
    _folder, _name, _grpc, _rest = sys.argv[1:]
    _settings = Settings(_name, Path(_folder), grpc_port=int(_grpc), rest_port=int(_rest))
    asyncio.run(serve(_settings, lambda *_: None))
