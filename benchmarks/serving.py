"""Serving: 32 clients of `fusion serve` against its model asked in this process."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import click
import grpc
import keras
import numpy as np
import requests
import tensorflow as tf
from rich.table import Table
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from modules.files import write_text
from modules.preprocessing.transform import decode_images
from modules.serving.check.process import Running, model_server
from modules.serving.server.rest import METRICS_PATH
from modules.spec import ImageFeature
from pipeline.consoles import wide_console

NAME = "benchmark"
PICTURES = 256
BATCHES = (1, 8, 32)
LARGEST = 64  # what the server puts together


def save_model(path: Path, size: int) -> None:
    """MobileNetV2 with random weights over encoded pictures, signed as a published model is."""
    shape = (size, size, 3)
    network = keras.applications.MobileNetV2(shape, weights=None, classes=10)
    feature = ImageFeature(type="image", column="image", shape=shape, range=(-1, 1))
    module = tf.Module()
    module.weights = [variable.value for variable in network.variables]

    @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, "image")], autograph=False)
    def serving_default(image: Any) -> dict[str, Any]:
        return {"probabilities": network(decode_images(image, feature), training=False)}

    tf.saved_model.save(module, str(path), signatures={"serving_default": serving_default})


def pictures() -> list[bytes]:
    """JPEGs of 128 pixels to a side."""
    pixels = np.random.default_rng(2).integers(0, 256, (PICTURES, 16, 16, 3)).astype(np.uint8)
    large = tf.image.resize(pixels, (128, 128)).numpy().astype(np.uint8)
    return [tf.io.encode_jpeg(one).numpy() for one in large]


def some(images: list[bytes], number: int, batch: int) -> list[bytes]:
    """A request's pictures, others for each number."""
    first = number * batch % (PICTURES - batch)
    return images[first : first + batch]


def in_process(signature: Any, images: list[bytes], batch: int, seconds: float) -> float:
    """Rows a second of the signature, one call after the other."""
    number, start = -3, 0.0  # the first calls are slower
    while number <= 0 or time.perf_counter() - start < seconds:
        if number == 0:
            start = time.perf_counter()
        image = tf.constant(some(images, max(number, 0), batch))
        signature(image=image)["probabilities"].numpy()
        number += 1
    return number * batch / (time.perf_counter() - start)


class Load:
    """Clients that ask again as soon as they are answered."""

    def __init__(self, running: Running, images: list[bytes], batch: int, clients: int) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.versions: set[int] = set()
        self._ended = threading.Event()
        self._channel = grpc.insecure_channel(running.grpc.removeprefix("grpc://"))
        self._ask = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._requests = []
        for client in range(clients):
            request = predict_pb2.PredictRequest()
            request.model_spec.name = NAME
            request.inputs["image"].CopyFrom(tf.make_tensor_proto(some(images, client, batch)))
            self._requests.append(request)

    def _client(self, request: predict_pb2.PredictRequest) -> None:
        while not self._ended.is_set():
            start = time.perf_counter()
            try:
                answer = self._ask(request, timeout=60)
            except grpc.RpcError as error:
                self.errors.append(str(error))
            else:
                self.versions.add(answer.model_spec.version.value)
                self.seconds.append(time.perf_counter() - start)

    def run(self, meanwhile: Callable[[], None]) -> float:
        """Requests answered in a second while something else is done."""
        threads = [threading.Thread(target=self._client, args=(one,)) for one in self._requests]
        for thread in threads:
            thread.start()
        time.sleep(1.0)
        self.seconds.clear()
        start = time.perf_counter()
        meanwhile()
        rate = len(self.seconds) / (time.perf_counter() - start)
        self._ended.set()
        for thread in threads:
            thread.join()
        self._channel.close()
        return rate


def mebibytes(running: Running) -> float:
    """The memory that the server tells Prometheus of."""
    page = requests.get(f"{running.rest}{METRICS_PATH}", timeout=60).text
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return float(lines["process_resident_memory_bytes"]) / 2**20


def throughput(
    running: Running, signature: Any, images: list[bytes], clients: int, seconds: float, rounds: int
) -> dict[int, dict[str, float]]:
    """Both ways by the rows in a request, in turn, so that a noisy machine disturbs both alike."""
    figures = {}
    for batch in BATCHES:
        alone, served, largest, latencies, errors = [], [], [], [], 0
        for _ in range(rounds):
            alone.append(in_process(signature, images, batch, seconds))
            load = Load(running, images, batch, clients)
            served.append(batch * load.run(lambda: time.sleep(seconds)))
            largest.append(in_process(signature, images, LARGEST, seconds))
            latencies += load.seconds
            errors += len(load.errors)
        ratios = [one / other for one, other in zip(served, alone, strict=True)]
        to_largest = [one / other for one, other in zip(served, largest, strict=True)]
        p50, p99 = np.percentile(latencies, [50, 99]) * 1000
        figures[batch] = {
            "in_process": statistics.median(alone), "served": statistics.median(served),
            "ratio": statistics.median(ratios), "ratio_to_64": statistics.median(to_largest),
            "p50_ms": p50, "p99_ms": p99, "errors": errors,
        }  # fmt: skip
    return figures


def memory(running: Running, images: list[bytes], clients: int, seconds: float) -> list[float]:
    """Mebibytes during one long load, at equal distances."""
    found: list[float] = []

    def watch() -> None:
        for _ in range(6):
            found.append(mebibytes(running))
            time.sleep(2 * seconds)
        found.append(mebibytes(running))

    Load(running, images, 1, clients).run(watch)
    return found


def version_change(
    running: Running, folder: Path, images: list[bytes], clients: int, seconds: float
) -> dict[str, Any]:
    """What clients meet while versions are published."""

    def publish() -> None:
        for version in (2, 3, 4):
            aside = folder.parent / f"version-{version}"
            shutil.copytree(folder / "1", aside)
            aside.rename(folder / str(version))
            time.sleep(max(seconds, 5.0))

    load = Load(running, images, 1, clients)
    load.run(publish)
    return {
        "answered": len(load.seconds), "errors": len(load.errors),
        "versions": sorted(load.versions), "slowest_ms": max(load.seconds) * 1000,
        "mebibytes": mebibytes(running),
    }  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--clients", default=32, show_default=True)
@click.option("--size", default=96, show_default=True, help="Pixels to a side in the model.")
@click.option("--seconds", default=5.0, show_default=True, help="How long each measure takes.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--json", "file", type=click.Path(path_type=Path), help="Writes the figures to a file as well."
)
def main(clients: int, size: int, seconds: float, rounds: int, file: Path | None) -> None:
    """Ask MobileNetV2 through its signature in a loop, and by many clients over gRPC.

    The ratio compares the server with calls of as many rows as are in a request; the other one
    with calls of 64 rows, the most that the server puts together. Then the server's memory is
    watched under a long load, and versions are published under it.
    """
    console = wide_console()
    images = pictures()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, NAME)
        save_model(folder / "1", size)
        loaded = tf.saved_model.load(str(folder / "1"))
        signature = loaded.signatures["serving_default"]
        with model_server(folder, NAME, Path(temporary, "log")) as running:
            rates = throughput(running, signature, images, clients, seconds, rounds)
            figures: dict[str, Any] = {
                "server": running.kind,
                "clients": clients,
                "rows_a_second": rates,
                "mebibytes_under_load": memory(running, images, clients, seconds),
                "version_change": version_change(running, folder, images, clients, seconds),
            }
    shown = Table("rows a request", *rates[BATCHES[0]], title=f"rows a second, {clients} clients")
    for batch, found in rates.items():
        shown.add_row(str(batch), *(f"{value:.3g}" for value in found.values()))
    console.print(shown)
    held = ", ".join(f"{value:,.0f}" for value in figures["mebibytes_under_load"])
    console.print(f"memory under load, MiB: {held}", highlight=False)
    console.print(f"version change: {figures['version_change']}", highlight=False)
    if file:
        write_text(file, json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
