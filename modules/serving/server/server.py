"""A model server: both protocols in front of one served model."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.server.batching import Batcher
from tfx_fusion.modules.serving.server.metrics import Metrics
from tfx_fusion.modules.serving.server.rest import RestServer
from tfx_fusion.modules.serving.server.rpc import RpcServer
from tfx_fusion.modules.serving.server.served_model import ServedModel
from tfx_fusion.modules.serving.server.service import Service

GRACE_SECONDS = 30.0


class ModelServer:
    """Serves the newest version in a publish folder; to be used within one event loop."""

    def __init__(self, name: str, folder: Path) -> None:
        """`name` is the model's for clients; the publish folder is watched for new versions."""
        metrics = Metrics()
        self._model = ServedModel(name, folder, metrics.load)
        self._batcher = Batcher(metrics.batch)
        service = Service(self._model, self._batcher)
        self._rpc, self._rest = (
            RpcServer(service, metrics),
            RestServer(service, metrics, GRACE_SECONDS),
        )

    async def start(self, host: str, grpc_port: int, rest_port: int) -> tuple[int, int]:
        """Loads the newest version, then listens; returns both ports, free ones for 0.

        Raises RunError where there is no version, it cannot be loaded, or a port is taken.
        """
        await self._model.start()
        grpc_found = await self._rpc.start(host, grpc_port)
        try:
            rest_found = await self._rest.start(host, rest_port)
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


async def serve(
    name: str,
    folder: Path,
    host: str,
    grpc_port: int,
    rest_port: int,
    on_ready: Callable[[int, int], None],
) -> None:
    """Serves until the process gets SIGTERM or SIGINT.

    Args:
        name: the model's name for clients.
        folder: the publish folder.
        host: the address to listen on.
        grpc_port, rest_port: 0 picks a free port.
        on_ready: called with both ports when the server is ready.
    """
    server = ModelServer(name, folder)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    on_ready(*await server.start(host, grpc_port, rest_port))
    await ended.wait()
    await server.stop()


if __name__ == "__main__":  # FOLDER NAME GRPC_PORT REST_PORT
    _folder, _name, _grpc, _rest = sys.argv[1:]
    asyncio.run(serve(_name, Path(_folder), "127.0.0.1", int(_grpc), int(_rest), lambda *_: None))
