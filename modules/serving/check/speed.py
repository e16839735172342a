"""The speed of a server."""

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from tfx_fusion.modules.serving.check.expected import Expected
from tfx_fusion.modules.serving.check.process import Running
from tfx_fusion.modules.serving.remote import OverGrpc
from tfx_fusion.modules.spec import Serving

REQUESTS, CLIENTS, TRIES = 200, 8, 3
# Without a limit in the specification, a slow model is measured for so long, or so many requests.
SECONDS, MIN_REQUESTS = 3.0, 40


@dataclass(frozen=True)
class Speed:
    """Milliseconds of single rows, one after the other; rows a second of 8 clients at once."""

    p50_ms: float
    p95_ms: float
    p99_ms: float
    rows_per_second: float

    def misses(self, limits: Serving) -> list[str]:
        """Each limit that is exceeded."""
        missed = []
        if limits.max_p99_ms is not None and self.p99_ms > limits.max_p99_ms:
            missed.append(
                f"p99 is {self.p99_ms:.1f} ms, serving.max_p99_ms allows {limits.max_p99_ms:g}"
            )
        least = limits.min_rows_per_second
        if least is not None and self.rows_per_second < least:
            missed.append(
                f"{self.rows_per_second:.1f} rows a second, serving.min_rows_per_second "
                f"asks for {least:g}"
            )
        return missed


def measure(running: Running, wanted: Expected, limits: Serving) -> Speed:
    """Measures over gRPC, up to three times where limits are missed: the machine may be busy."""
    for _ in range(TRIES):
        speed = _measure(running, wanted, limits)
        if not speed.misses(limits):
            break
    return speed


def _measure(running: Running, wanted: Expected, limits: Serving) -> Speed:
    model = OverGrpc(wanted.name, running.grpc)
    rows = [
        {name: values[position : position + 1] for name, values in wanted.inputs.items()}
        for position in range(len(wanted.row_ids))
    ]

    def ask(number: int) -> float:
        start = time.perf_counter()
        model.ask(rows[number % len(rows)])
        return time.perf_counter() - start

    bounded = limits.max_p99_ms is not None or limits.min_rows_per_second is not None
    start = time.perf_counter()
    latencies: list[float] = []
    while len(latencies) < REQUESTS:
        latencies.append(ask(len(latencies)))
        late = time.perf_counter() - start > SECONDS
        if late and len(latencies) >= MIN_REQUESTS and not bounded:
            break
    p50, p95, p99 = np.percentile(latencies, [50, 95, 99]) * 1000
    start = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as clients:
        list(clients.map(ask, range(len(latencies))))
    rate = len(latencies) / (time.perf_counter() - start)
    return Speed(float(p50), float(p95), float(p99), rate)
