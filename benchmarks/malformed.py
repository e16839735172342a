"""Malformed requests: good ones with something wrong in them, and whether the answer is proper."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

Arrays = Mapping[str, np.ndarray]
Oracle = Callable[[str, Arrays], Arrays]


@dataclass(frozen=True)
class Target:
    """A server, good inputs by signature, and what a signature gives when asked in process."""

    name: str
    grpc: str
    rest: str
    good: Mapping[str, Arrays]
    oracle: Oracle


@dataclass(frozen=True)
class Verdict:
    """What came of a request: a status, and why that is wrong where it is."""

    status: str
    wrong: str = ""


@dataclass
class Tally:
    """Verdicts by status, and what was wrong, each told once for a kind of request."""

    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    def add(self, kind: str, verdict: Verdict) -> None:
        self.kinds[kind] += 1
        self.statuses[verdict.status] += 1
        if verdict.wrong:
            self.wrong.setdefault(f"{kind}: {verdict.status}", verdict.wrong)


def differences(target: Target, signature: str, inputs: Arrays, found: Arrays) -> str:
    """How an answer differs from that in process; nothing where it is right."""
    try:
        wanted = target.oracle(signature, inputs)
    except (tf.errors.OpError, ValueError, TypeError, KeyError) as error:
        return f"answered, though in process: {error}"
    for name, values in found.items():
        if name not in wanted or values.shape != wanted[name].shape:
            return f"output '{name}' has shape {values.shape}, expected {wanted.get(name)}"
        if not same(wanted[name], values):
            return f"output '{name}': expected {wanted[name]}, found {values}"
    return ""


def same(one: np.ndarray, other: np.ndarray) -> bool:
    if one.dtype == object:
        return bool((one == other).all())
    return bool(np.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True))


def changed_bytes(random: np.random.Generator, content: bytes) -> bytes:
    """Bytes cut off, put in, or changed somewhere."""
    found = bytearray(content)
    place = int(random.integers(len(found)))
    match random.integers(4):
        case 0:
            return bytes(found[:place])
        case 1:
            found[place:place] = random.bytes(int(random.integers(1, 20)))
        case 2:
            del found[place : place + int(random.integers(1, 20))]
        case _:
            for index in random.integers(len(found), size=int(random.integers(1, 6))):
                found[index] = int(random.integers(256))
    return bytes(found)


def any_of(random: np.random.Generator, choices: Iterable[str]) -> str:
    """One of some names."""
    return str(random.choice(sorted(choices)))
