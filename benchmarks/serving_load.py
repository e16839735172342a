"""Clients that keep a served model busy: their rates, errors and latencies."""

import shutil
import statistics
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import requests
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serving_models import FUSED, Inputs, some
from tfx_fusion.modules.registry.rollback import roll_back
from tfx_fusion.modules.serving.check.process import Running
from tfx_fusion.modules.serving.remote import predict_request
from tfx_fusion.modules.serving.server.rest import METRICS_PATH

BATCHES = (1, 8, 32)
TIMEOUT = 60.0
SAMPLES = 6  # of the memory, during a load


class Load:
    """Clients that send the next request as soon as the last one is answered."""

    def __init__(self, running: Running, inputs: Inputs, batch: int, clients: int) -> None:
        self.seconds: list[float] = []
        self.errors: list[str] = []
        self.versions: list[int] = []
        self._ended = threading.Event()
        self._channel = grpc.insecure_channel(running.grpc.removeprefix("grpc://"))
        self._ask = prediction_service_pb2_grpc.PredictionServiceStub(self._channel).Predict
        self._requests = [
            predict_request(FUSED, some(inputs, client, batch)) for client in range(clients)
        ]

    def _client(self, request: predict_pb2.PredictRequest) -> None:
        while not self._ended.is_set():
            start = time.perf_counter()
            try:
                answer = self._ask(request, timeout=TIMEOUT)
            except grpc.RpcError as error:
                self.errors.append(str(error))
            else:
                self.versions.append(answer.model_spec.version.value)
                self.seconds.append(time.perf_counter() - start)

    def run(self, meanwhile: Callable[[], None]) -> float:
        """Requests answered in a second while something else is done."""
        threads = [threading.Thread(target=self._client, args=(one,)) for one in self._requests]
        for thread in threads:
            thread.start()
        try:
            time.sleep(1.0)
            self.seconds.clear()
            start = time.perf_counter()
            meanwhile()
            rate = len(self.seconds) / (time.perf_counter() - start)
        finally:
            self._ended.set()
            for thread in threads:
                thread.join()
            self._channel.close()
        return rate

    def wait_for(self, version: int) -> None:
        """Waits until a version has answered the latest request."""
        end = time.monotonic() + TIMEOUT
        while self.versions[-1] != version:
            if time.monotonic() > end:
                raise TimeoutError(f"version {version} did not answer within {TIMEOUT:g} s")
            time.sleep(0.05)


def call_signature(
    signature: Any, inputs: Inputs, batch: int, threads: int, seconds: float
) -> float:
    """Rows a second of the signature, called by some threads at once."""
    start = 0.0

    def call(thread: int) -> int:
        number = 0
        while number == 0 or time.perf_counter() - start < seconds:
            asked = some(inputs, thread + number, batch)
            given = signature(**{name: tf.constant(values) for name, values in asked.items()})
            given["probabilities"].numpy()
            number += 1
        return number

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(call, range(threads)))  # the first calls are slower
        start = time.perf_counter()
        calls = sum(pool.map(call, range(threads)))
        return calls * batch / (time.perf_counter() - start)


def throughput(
    servers: list[Running],
    signature: Any,
    inputs: Inputs,
    concurrency: list[int],
    seconds: float,
    rounds: int,
) -> list[dict[str, Any]]:
    """Each server and the signature, by rows in a request and requests at once.

    All in turn, so that a noisy machine disturbs them alike. The ratio is that to the signature
    called by as many threads as there are clients, or by one where that is faster.
    """
    figures = []
    for batch in BATCHES:
        for clients in concurrency:
            in_process: list[float] = []
            served: dict[str, list[float]] = {running.kind: [] for running in servers}
            latencies: dict[str, list[float]] = {running.kind: [] for running in servers}
            errors = dict.fromkeys(served, 0)
            for _ in range(rounds):
                by = {1, clients}
                direct = (call_signature(signature, inputs, batch, n, seconds) for n in by)
                in_process.append(max(direct))
                for running in servers:
                    load = Load(running, inputs, batch, clients)
                    served[running.kind].append(batch * load.run(lambda: time.sleep(seconds)))
                    latencies[running.kind] += load.seconds
                    errors[running.kind] += len(load.errors)
            for kind, rates in served.items():
                p50, p99 = np.percentile(latencies[kind], [50, 99]) * 1000
                ratios = [one / other for one, other in zip(rates, in_process, strict=True)]
                figures.append(
                    {"server": kind, "rows": batch, "clients": clients,
                     "in_process": statistics.median(in_process),
                     "served": statistics.median(rates), "ratio": statistics.median(ratios),
                     "p50_ms": p50, "p99_ms": p99, "errors": errors[kind]}
                )  # fmt: skip
    return figures


def mebibytes(running: Running) -> float:
    """The server's memory, from its Prometheus metrics."""
    page = requests.get(f"{running.rest}{METRICS_PATH}", timeout=TIMEOUT).text
    lines = dict(line.rsplit(" ", 1) for line in page.splitlines() if not line.startswith("#"))
    return float(lines["process_resident_memory_bytes"]) / 2**20


def long_load(running: Running, inputs: Inputs, clients: int, seconds: float) -> dict[str, Any]:
    """Errors of one long load, and the server's memory at equal distances."""
    found: list[float] = []

    def watch() -> None:
        for _ in range(SAMPLES):
            found.append(mebibytes(running))
            time.sleep(seconds / SAMPLES)
        found.append(mebibytes(running))

    load = Load(running, inputs, 1, clients)
    rate = load.run(watch)
    return {"requests_a_second": rate, "errors": len(load.errors), "mebibytes": found}


def version_changes(
    running: Running, folder: Path, inputs: Inputs, clients: int
) -> dict[str, dict[str, Any]]:
    """Answers and errors while versions are published, and while they are rolled back."""

    def publish(load: Load) -> None:
        for version in (2, 3, 4):
            aside = folder.parent / f"version-{version}"
            shutil.copytree(folder / "1", aside)
            aside.rename(folder / str(version))
            load.wait_for(version)

    def go_back_and_forth(load: Load) -> None:
        for version in (None, "1", "4"):  # to 3; to the first; forward again
            load.wait_for(int(roll_back(folder, version).served.name))

    figures = {}
    for name, change in (("version_change", publish), ("rollback", go_back_and_forth)):
        load = Load(running, inputs, 1, clients)
        load.run(lambda load=load, change=change: change(load))  # type: ignore[misc]
        figures[name] = {
            "answered": len(load.versions), "failed": len(load.errors),
            "versions": sorted(set(load.versions)), "slowest_ms": max(load.seconds) * 1000,
            "mebibytes": mebibytes(running),
        }  # fmt: skip
    return figures
