"""`fusion serve`: a published model behind TF Serving's interfaces."""

import asyncio
import logging
from pathlib import Path

import click

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.registry.versions import is_version
from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

FOREIGN_NAME = "default"  # TF Serving's own, where no --model_name is given


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", help="The model's name for clients [default: the specification's].")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--grpc-port", default=8500, show_default=True, help="0 picks a free port.")
@click.option("--rest-port", default=8501, show_default=True, help="0 picks a free port.")
@click.option(
    "labels",
    "--label",
    multiple=True,
    metavar="LABEL=VERSION",
    help="Serve a version by a label.",
)
@click.option(
    "allowed_hosts",
    "--allowed-host",
    multiple=True,
    metavar="NAME",
    help="A name by which REST clients reach the server, beside localhost and addresses; * is any.",
)
@click.option(
    "--max-body", default=256, show_default=True, help="Largest request, unpacked too, in MiB."
)
@click.option(
    "--max-values", default=5_000_000, show_default=True, help="Most values in a JSON body."
)
@click.option(
    "--max-connections", default=512, show_default=True, help="Most open REST connections."
)
def serve(
    folder: Path,
    name: str | None,
    host: str,
    grpc_port: int,
    rest_port: int,
    labels: tuple[str, ...],
    allowed_hosts: tuple[str, ...],
    max_body: int,
    max_values: int,
    max_connections: int,
) -> None:
    """Serve the newest version in the publish folder FOLDER, and each one published later.

    For trials, checks and light use. It implements TF Serving's gRPC and REST interfaces, batches
    concurrent requests, and has a health check at /healthz and Prometheus metrics at
    /monitoring/prometheus/metrics. There is no authentication.
    """
    logging.basicConfig(format="%(asctime)s %(message)s")
    logging.getLogger("fusion.serving").setLevel(logging.INFO)
    import_tensorflow_quietly()
    from tfx_fusion.modules.serving.server.limits import Limits
    from tfx_fusion.modules.serving.server.server import Settings
    from tfx_fusion.modules.serving.server.server import serve as serve_folder

    limits = Limits(body=max_body << 20, values=max_values, connections=max_connections)
    settings = Settings(
        name or _name_of(folder),
        folder,
        host,
        grpc_port,
        rest_port,
        tuple(map(_label, labels)),
        allowed_hosts,
        limits,
    )

    def print_address(grpc_found: int, rest_found: int) -> None:
        click.echo(
            f"serving {settings.name} over gRPC {host}:{grpc_found}, REST {host}:{rest_found}"
        )

    asyncio.run(serve_folder(settings, print_address))


def _name_of(folder: Path) -> str:
    """The name of the specification that a version was made from; another one has none."""
    from tfx_fusion.modules.registry.versions import find_version
    from tfx_fusion.modules.serving.published import read_specification
    from tfx_fusion.modules.training.export import SPECIFICATION_FILE

    version = find_version(folder)
    if not (version / SPECIFICATION_FILE).exists():
        return FOREIGN_NAME
    return read_specification(version).name


def _label(text: str) -> tuple[str, int]:
    label, _, version = text.rpartition("=")
    if not label or not is_version(version):
        raise RunError(f"--label: expected LABEL=VERSION, found {text}")
    return label, int(version)
