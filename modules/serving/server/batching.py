"""Requests that wait at the same time are computed in one batch.

No request waits for others: while a batch is computed the next one collects, so a single request
is answered at once and many are answered in large batches.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import grpc
import numpy as np

from tfx_fusion.modules.serving.server.errors import RequestError
from tfx_fusion.modules.serving.server.servable import Arrays, Servable

# One batch is concatenated or split while the other one is computed.
WORKERS = 2
MAX_ROWS = 64
MAX_WAITING = 4096


@dataclass(eq=False)
class _Request:
    servable: Servable
    signature: str
    inputs: Arrays
    rows: int | None
    answer: asyncio.Future[Arrays]

    def fits(self, other: _Request) -> bool:
        """Whether both can go through the model together."""
        return (
            self.rows is not None
            and other.rows is not None
            and self.servable is other.servable
            and self.signature == other.signature
            and all(self.inputs[n].shape[1:] == other.inputs[n].shape[1:] for n in self.inputs)
        )


class Batcher:
    """Runs requests on threads; to be used within one event loop."""

    def __init__(self, on_batch: Callable[[int], None]) -> None:
        """`on_batch` is called with the number of rows of each batch."""
        self._on_batch = on_batch
        self._waiting: deque[_Request] = deque()
        self._threads = ThreadPoolExecutor(WORKERS, "model")
        self._free = WORKERS
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, servable: Servable, signature: str, inputs: Arrays) -> Arrays:
        """The answer to one request. Raises RequestError, or what the model raises."""
        signature = servable.signature_name(signature)
        servable.check(signature, inputs)
        if len(self._waiting) >= MAX_WAITING:
            raise RequestError(
                grpc.StatusCode.UNAVAILABLE, f"{MAX_WAITING} requests wait already: try again"
            )
        loop = asyncio.get_running_loop()
        rows = servable.rows(signature, inputs)
        request = _Request(servable, signature, inputs, rows, loop.create_future())
        self._waiting.append(request)
        # Not at once, so that requests that arrived together share a batch.
        loop.call_soon(self._start)
        return await request.answer

    def close(self) -> None:
        """Ends the threads when they are done."""
        self._threads.shutdown()

    def _start(self) -> None:
        while self._free and (batch := self._take()):
            self._free -= 1
            self._on_batch(sum(request.rows or 1 for request in batch))
            task = asyncio.ensure_future(self._answer(batch))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    def _take(self) -> list[_Request]:
        """The next batch: the request that waits longest, and others that fit it."""
        batch: list[_Request] = []
        rows = 0
        skipped: deque[_Request] = deque()
        while self._waiting:
            request = self._waiting.popleft()
            if request.answer.done():  # the client has gone
                continue
            added = request.rows or 0
            if not batch or (batch[0].fits(request) and rows + added <= MAX_ROWS):
                batch.append(request)
                rows += added
            else:
                skipped.append(request)
            if rows >= MAX_ROWS:
                break
        self._waiting.extendleft(reversed(skipped))
        return batch

    async def _answer(self, batch: list[_Request]) -> None:
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(self._threads, _run, batch)
        finally:
            self._free += 1
            self._start()
        for request, answer in zip(batch, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, Exception):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)


def _run(batch: list[_Request]) -> list[Arrays | Exception]:
    """The answer to each request; one that fails is found by halving, and only it fails."""
    first = batch[0]
    try:
        if len(batch) == 1:
            return [first.servable.run(first.signature, first.inputs)]
        joined = {
            name: np.concatenate([request.inputs[name] for request in batch])
            for name in first.inputs
        }
        return _split(batch, first.servable.run(first.signature, joined))
    except Exception as error:  # a model may raise anything; each request gets its own error
        if len(batch) == 1:
            return [error]
        half = len(batch) // 2
        return _run(batch[:half]) + _run(batch[half:])


def _split(batch: list[_Request], outputs: Arrays) -> list[Arrays | Exception]:
    """The rows of each request. Raises ValueError where an output does not go by rows."""
    sizes = [request.rows or 0 for request in batch]
    for name, array in outputs.items():
        if not array.ndim or len(array) != sum(sizes):
            raise ValueError(f"output '{name}' does not have a row for each row of the inputs")
    borders = np.cumsum([0, *sizes])
    return [
        {name: array[start:end] for name, array in outputs.items()}
        for start, end in pairwise(borders)
    ]
