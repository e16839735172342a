"""Malformed requests of every kind: each gets a proper error, or is valid and answered right."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import numpy as np
import pytest
import requests

from benchmarks.malformed import Fuzzer, Tally, Target, Verdict, fuzz
from benchmarks.malformed_grpc import GrpcFuzzer
from benchmarks.malformed_rest import RestFuzzer, oversized

REQUESTS = 25  # of each kind


@pytest.fixture(scope="module")
def target(running: Any, oracle: Any, picture: Callable[[int], bytes]) -> Target:
    good = {
        "serving_default": {
            "image": np.array([picture(1), picture(2)], object),
            "words": np.array([b"one", "größer".encode()], object),
        },
        "halve": {"x": np.array([[1, 2.5], [3, 4]], np.float32)},
    }
    return Target(
        running.name, running.grpc, running.rest, good,
        lambda signature, inputs: oracle(signature, **inputs),
    )  # fmt: skip


@pytest.fixture(params=[GrpcFuzzer, RestFuzzer])
def fuzzer(target: Target, request: pytest.FixtureRequest) -> Iterator[Fuzzer]:
    made = request.param(target)
    yield made
    made.close()


def test_each_is_refused_or_answered_right_and_harms_no_later_one(fuzzer: Fuzzer) -> None:
    tally = Tally()
    for kind in fuzzer.kinds:
        fuzz(fuzzer, kind, REQUESTS, 1, tally)

    assert tally.wrong == {}
    assert set(tally.kinds) == set(fuzzer.kinds)
    assert fuzzer.wrong_answer() == ""


def test_the_same_number_sends_the_same_requests(target: Target) -> None:
    def sent() -> list[object]:
        found: list[object] = []

        class Recorder(RestFuzzer):
            def send(self, kind: str, request: Any) -> Verdict:
                found.append(request.content())
                return Verdict("recorded")

        fuzz(Recorder(target), "changed_bytes", REQUESTS, 1, Tally())
        return found

    assert sent() == sent()


def test_the_fuzzers_notice_a_wrong_answer(target: Target) -> None:
    def doubled(signature: str, inputs: Any) -> Any:
        given = target.oracle(signature, inputs)
        return {n: a if a.dtype == object else 2 * a + 1 for n, a in given.items()}

    wrong = Target(target.name, target.grpc, target.rest, target.good, doubled)
    for kind in (GrpcFuzzer, RestFuzzer):
        fuzzer, tally = kind(wrong), Tally()
        assert "expected [[" in fuzzer.wrong_answer()
        fuzz(fuzzer, "not_a_number", REQUESTS, 1, tally)
        assert "expected [[" in tally.wrong["not_a_number"]
        fuzzer.close()


def test_a_small_body_that_unpacks_to_more_than_the_limit_is_refused(target: Target) -> None:
    fuzzer = RestFuzzer(target)
    verdict = fuzzer.send("oversized", oversized(target))
    assert (verdict.status, verdict.wrong) == ("413", "")
    assert fuzzer.wrong_answer() == ""
    fuzzer.close()


@pytest.mark.parametrize(
    ("encoding", "body", "code", "message"),
    [
        ("gzip", b"{}", 400, "the body is not gzip, as its Content-Encoding says"),
        ("gzip", gzip.compress(b"{}")[:-3], 400, "not one whole gzip file"),
        ("gzip", gzip.compress(b"{}") + b"{}", 400, "not one whole gzip file"),
        ("deflate", b"{}", 415, "Content-Encoding: expected gzip or none, found 'deflate'"),
    ],
    # Explicit: gzip writes the time into the bytes, and processes must collect the same tests.
    ids=["not gzip", "cut gzip", "gzip and more", "another encoding"],
)
def test_a_body_that_is_not_encoded_as_declared_is_refused(
    running: Any, encoding: str, body: bytes, code: int, message: str
) -> None:
    headers = {"Content-Encoding": encoding}
    answer = requests.post(f"{running.url}:predict", body, headers=headers, timeout=30)
    assert answer.status_code == code
    assert message in answer.json()["error"]


def test_bytes_that_are_not_a_message_are_a_client_error(running: Any) -> None:
    call = running.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"\xff\xff", timeout=30)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "PredictionService/Predict: Error parsing message" in caught.value.details()
