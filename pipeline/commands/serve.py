"""`fusion serve`: a published model behind TF Serving's interfaces."""

import asyncio
import logging
from pathlib import Path

import click

from tfx_fusion.pipeline.quiet import import_tensorflow_quietly


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="The model's name for clients [default: the specification's].")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--grpc-port", default=8500, show_default=True, help="0 picks a free port.")
@click.option("--rest-port", default=8501, show_default=True, help="0 picks a free port.")
def serve(folder: Path, name: str | None, host: str, grpc_port: int, rest_port: int) -> None:
    """Serve the newest version in the publish folder FOLDER, and each one published later.

    For trials, checks and light use. It implements TF Serving's gRPC and REST interfaces, batches
    concurrent requests, and has a health check at /healthz and Prometheus metrics at
    /monitoring/prometheus/metrics. There is no authentication.
    """
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("fusion.serving").setLevel(logging.INFO)
    import_tensorflow_quietly()
    from tfx_fusion.modules.registry.versions import find_version
    from tfx_fusion.modules.serving.published import read_specification
    from tfx_fusion.modules.serving.server.server import serve as serve_folder

    called = name or read_specification(find_version(folder)).name

    def print_address(grpc_found: int, rest_found: int) -> None:
        click.echo(f"serving {called} over gRPC {host}:{grpc_found}, REST {host}:{rest_found}")

    asyncio.run(serve_folder(called, folder, host, grpc_port, rest_port, print_address))
