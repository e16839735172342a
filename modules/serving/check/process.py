"""A model server in a process of its own: TF Serving where it is installed, else ours."""

import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import requests

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.processes import ending_with_this

TF_SERVING = "tensorflow_model_server"
HOST = "127.0.0.1"
START_SECONDS, STOP_SECONDS, POLL_SECONDS = 180.0, 30.0, 0.1


@dataclass(frozen=True)
class Running:
    """A running server: its kind and addresses."""

    kind: str
    grpc: str
    rest: str


@contextmanager
def model_server(folder: Path, name: str, log: Path, ours: bool = False) -> Iterator[Running]:
    """Serves a publish folder on free loopback ports while the block runs.

    It logs to `log`; `ours` runs our server even where TF Serving is installed. Raises RunError
    where it does not get to serve the model.
    """
    grpc_port, rest_port = _free_ports()
    tf_serving = None if ours else shutil.which(TF_SERVING)
    if tf_serving:
        kind, command = TF_SERVING, [
            tf_serving, f"--port={grpc_port}", f"--rest_api_port={rest_port}",
            f"--model_name={name}", f"--model_base_path={folder.resolve()}",
        ]  # fmt: skip
    else:
        kind, command = "fusion serve", [
            sys.executable, "-P", "-m", "tfx_fusion.modules.serving.server.server",
            str(folder.resolve()), name, str(grpc_port), str(rest_port),
        ]  # fmt: skip
    with (
        log.open("w") as stream,
        subprocess.Popen(
            ending_with_this(command), stdout=stream, stderr=subprocess.STDOUT
        ) as process,
    ):
        try:
            _wait(process, f"http://{HOST}:{rest_port}/v1/models/{name}", kind, log)
            yield Running(kind, f"grpc://{HOST}:{grpc_port}", f"http://{HOST}:{rest_port}")
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind((HOST, 0))
        other.bind((HOST, 0))
        return one.getsockname()[1], other.getsockname()[1]


def _wait(process: subprocess.Popen[bytes], url: str, kind: str, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    found = "nothing"
    while time.monotonic() < end:
        if process.poll() is not None:
            found = f"that it ended with code {process.returncode}"
            break
        try:
            versions = requests.get(url, timeout=1).json()["model_version_status"]
        except (requests.RequestException, KeyError):
            time.sleep(POLL_SECONDS)
            continue
        states = {version["state"] for version in versions}
        if "AVAILABLE" in states:
            return
        if states == {"END"}:
            found = versions[0]["status"]["error_message"]
            break
        time.sleep(POLL_SECONDS)
    last = (log.read_text(errors="replace").strip().splitlines() or ["nothing"])[-1]
    raise RunError(
        f"{kind}: expected it to serve the model within {START_SECONDS:g} s, found {found}; "
        f"its log ends: {last}"
    )
