"""One call to a fused model against calls to its parts, whose answers the client forwards."""

from typing import Any

import grpc
import numpy as np
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from benchmarks.serving_load import TIMEOUT
from benchmarks.serving_models import FUSED, PARTS, Inputs, some
from benchmarks.timing import interleaved
from tfx_fusion.modules.serving.check.process import Running
from tfx_fusion.modules.serving.remote import predict_request

WARM_UP = 20


class Chain:
    """A client of the fused model and of its parts, by their names, one row at a time."""

    def __init__(self, servers: dict[str, Running], inputs: Inputs) -> None:
        self._inputs = inputs
        self._channels = {
            name: grpc.insecure_channel(running.grpc.removeprefix("grpc://"))
            for name, running in servers.items()
        }
        self._ask = {
            name: prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
            for name, channel in self._channels.items()
        }

    def close(self) -> None:
        for channel in self._channels.values():
            channel.close()

    def fused(self, number: int) -> Any:
        """A row's probabilities, from a single call."""
        asked = some(self._inputs, number, 1)
        answer = self._ask[FUSED](predict_request(FUSED, asked), timeout=TIMEOUT)
        return answer.outputs["probabilities"]

    def one_by_one(self, number: int) -> Any:
        """The same from a call to each part, one after the other."""
        seen, read = (
            self._ask[name](request, timeout=TIMEOUT)
            for name, request in self._branches(number).items()
        )
        return self._head(seen, read)

    def branches_at_once(self, number: int) -> Any:
        """The same, with both branches called at once."""
        waiting = [
            self._ask[name].future(request, timeout=TIMEOUT)
            for name, request in self._branches(number).items()
        ]
        seen, read = (one.result() for one in waiting)
        return self._head(seen, read)

    def _branches(self, number: int) -> dict[str, predict_pb2.PredictRequest]:
        asked = some(self._inputs, number, 1)
        vision, text, _ = PARTS
        return {
            vision: predict_request(vision, {"image": asked["image"]}),
            text: predict_request(text, {"words": asked["words"]}),
        }

    def _head(self, seen: Any, read: Any) -> Any:
        head = PARTS[2]
        request = predict_pb2.PredictRequest()
        request.model_spec.name = head
        # As they came: a client that parsed them would be slower.
        request.inputs["seen"].CopyFrom(seen.outputs["seen"])
        request.inputs["read"].CopyFrom(read.outputs["read"])
        return self._ask[head](request, timeout=TIMEOUT).outputs["probabilities"]


def latencies(servers: dict[str, Running], inputs: Inputs, requests: int) -> dict[str, Any]:
    """Milliseconds of a row by each way, interleaved; all must return the same."""
    chain = Chain(servers, inputs)
    ways = {"fused": chain.fused, "one": chain.one_by_one, "at_once": chain.branches_at_once}
    numbers = {way: iter(range(requests + WARM_UP)) for way in ways}
    try:
        wanted = np.array(chain.fused(0).float_val)
        for ask in ways.values():
            np.testing.assert_allclose(ask(0).float_val, wanted, rtol=1e-4, atol=1e-6)
        timings = interleaved(
            {way: lambda way=way: ways[way](next(numbers[way])) for way in ways},  # type: ignore[misc]
            requests,
            WARM_UP,
        )
    finally:
        chain.close()
    fused, one, at_once = (timings.median(way) * 1000 for way in ("fused", "one", "at_once"))
    return {
        "requests": requests, "fused_p50_ms": fused, "chained_p50_ms": one,
        "chained_branches_at_once_p50_ms": at_once, "ratio": fused / one,
        "ratio_branches_at_once": fused / at_once,
    }  # fmt: skip
