"""Prometheus metrics of a server."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from tfx_fusion.modules.serving.server.errors import as_request_error

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The measures of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._requests = Counter(
            "fusion_requests", "Requests by result", ["protocol", "method", "code"],
            registry=self.registry,
        )  # fmt: skip
        self._seconds = Histogram(
            "fusion_request_seconds", "Time from a request to its answer", ["protocol", "method"],
            buckets=SECONDS, registry=self.registry,
        )  # fmt: skip
        self._rows = Histogram(
            "fusion_batch_rows", "Rows computed in one batch",
            buckets=ROWS, registry=self.registry,
        )  # fmt: skip
        self._version = Gauge(
            "fusion_model_version", "The version that answers", registry=self.registry
        )
        self._loads = Counter(
            "fusion_model_loads", "Versions loaded", ["result"], registry=self.registry
        )

    def batch(self, rows: int) -> None:
        """A batch went to the model."""
        self._rows.observe(rows)

    def load(self, version: int, succeeded: bool) -> None:
        """A version was loaded, or could not be."""
        self._loads.labels("done" if succeeded else "failed").inc()
        if succeeded:
            self._version.set(version)

    @contextmanager
    def request(self, protocol: str, method: str) -> Iterator[None]:
        """Measures what is done inside; anything it raises becomes a RequestError."""
        code, start = grpc.StatusCode.OK, time.perf_counter()
        try:
            yield
        except Exception as error:  # whatever the error, the client gets an answer
            failure = as_request_error(error)
            code = failure.code
            raise failure from error
        finally:
            self._requests.labels(protocol, method, code.name).inc()
            self._seconds.labels(protocol, method).observe(time.perf_counter() - start)
