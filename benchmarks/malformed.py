"""Malformed requests: what they are sent to, and whether the answers are right."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tensorflow as tf
from hypothesis import Phase, given, seed, settings
from hypothesis import strategies as st

Arrays = Mapping[str, np.ndarray]
Oracle = Callable[[str, Arrays], Arrays]
Draw = Callable[[st.SearchStrategy[Any]], Any]


@dataclass(frozen=True)
class Target:
    """A server, valid inputs by signature, and what a signature returns in this process."""

    name: str
    grpc: str
    rest: str
    good: Mapping[str, Arrays]
    oracle: Oracle


@dataclass(frozen=True)
class Verdict:
    """The status of an answer, and what is wrong with it, if anything."""

    status: str
    wrong: str = ""


class WrongAnswerError(Exception):
    """A request got a wrong answer, or none."""


class Fuzzer(ABC):
    """Malformed requests over one protocol, by kind. `answered` is the status of an answer."""

    kinds: tuple[str, ...]
    answered: str

    def __init__(self, target: Target) -> None:
        self._target = target

    @abstractmethod
    def good_request(self, signature: str) -> Any:
        """A request that must be answered."""

    @abstractmethod
    def requests(self, kind: str) -> st.SearchStrategy[Any]:
        """The malformed requests of a kind."""

    @abstractmethod
    def send(self, kind: str, request: Any) -> Verdict:
        """Sends a request; an answer must be that of the model in this process."""

    @abstractmethod
    def close(self) -> None: ...

    def wrong_answer(self) -> str:
        """What is wrong with the answers to valid requests; empty where they are right."""
        for signature in self._target.good:
            verdict = self.send("not_a_number", self.good_request(signature))
            if verdict.status != self.answered or verdict.wrong:
                return f"{verdict.status} {verdict.wrong}"
        return ""


@dataclass
class Tally:
    """The number of requests by status and by kind, and one wrong answer of each kind."""

    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)


def fuzz(fuzzer: Fuzzer, kind: str, requests: int, number: int, tally: Tally) -> None:
    """Sends requests of one kind, the same ones for the same number.

    A request that gets a wrong answer is shrunk to the smallest such one.
    """

    @seed(number)
    @settings(
        max_examples=requests, database=None, deadline=None, phases=[Phase.generate, Phase.shrink]
    )
    @given(fuzzer.requests(kind))
    def each(request: Any) -> None:
        verdict = fuzzer.send(kind, request)
        tally.kinds[kind] += 1
        tally.statuses[verdict.status] += 1
        if verdict.wrong:
            raise WrongAnswerError(f"{verdict.status}: {verdict.wrong}")

    try:
        each()
    except WrongAnswerError as error:
        tally.wrong.setdefault(kind, str(error))


def differences(target: Target, signature: str, inputs: Arrays, found: Arrays) -> str:
    """How an answer differs from that in process; empty where it is right."""
    try:
        expected = target.oracle(signature, inputs)
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        return f"answered, though in process: {error}"
    for name, values in found.items():
        if name not in expected or values.shape != expected[name].shape:
            return f"output '{name}' has shape {values.shape}, expected {expected.get(name)}"
        if not _same(expected[name], values):
            return f"output '{name}': expected {expected[name]}, found {values}"
    return ""


def _same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object:
        return bool((one == other).all())
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))


def one_of(choices: Any) -> st.SearchStrategy[Any]:
    """One of some names, in an order that is the same in every process."""
    return st.sampled_from(sorted(choices))


@st.composite
def damaged(draw: Draw, content: bytes) -> bytes:
    """Bytes cut off somewhere, or up to 20 of them replaced by others."""
    start = draw(st.integers(0, len(content) - 1))
    if draw(st.booleans()):
        return content[:start]
    end = draw(st.integers(start, min(start + 20, len(content))))
    return content[:start] + draw(st.binary(max_size=20)) + content[end:]
