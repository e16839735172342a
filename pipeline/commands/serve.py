"""`fusion serve`: a published model behind TF Serving's interfaces."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import click

from tfx_fusion.pipeline.quiet import import_tensorflow_quietly


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="What clients call the model; the specification's name unless given.")
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--grpc-port", default=8500, show_default=True, help="0 takes a free one.")
@click.option("--rest-port", default=8501, show_default=True, help="0 takes a free one.")
def serve(folder: Path, name: str | None, host: str, grpc_port: int, rest_port: int) -> None:
    """Serve the newest version in the publish folder FOLDER, and each one published later.

    For trying, checking and small use. It speaks TF Serving's gRPC and REST interfaces, batches
    concurrent requests, and tells health at /healthz and Prometheus's metrics at
    /monitoring/prometheus/metrics. Whoever reaches the address may ask: it knows no passwords.
    """
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("fusion.serving").setLevel(logging.INFO)
    import_tensorflow_quietly()
    from tfx_fusion.modules.serving.published import find_version, read_specification
    from tfx_fusion.modules.serving.server.server import serve as serve_folder

    called = name or read_specification(find_version(folder)).name

    def tell(grpc_found: int, rest_found: int) -> None:
        click.echo(f"serving {called} over gRPC {host}:{grpc_found}, REST {host}:{rest_found}")

    asyncio.run(serve_folder(called, folder, host, grpc_port, rest_port, tell))
