"""Many cases, one after the other, with what they cover and what differs."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.differential.case import Case
from tests.differential.compare import (
    BY_A_HAIR,
    CRASHED,
    DIFFERENT,
    DIVERGED,
    REFUSED,
    Result,
    compare,
)
from tests.differential.draw import draw
from tests.differential.shrink import shrink


@dataclass
class Fault:
    """A case on which the product fails: as drawn by `seed`, and as small as it got."""

    seed: int
    result: Result
    smallest: Case
    smallest_result: Result

    def text(self) -> str:
        """The fault as it is printed."""
        found = self.smallest_result
        differences = "".join(f"\n  {k}: {v}" for k, v in found.differences.items())
        return (
            f"seed {self.seed}: {found.status} at {found.level}: {found.detail}{differences}\n"
            f"{self.smallest.text()}"
        )


@dataclass
class Tally:
    """What a campaign did."""

    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    refusals: dict[int, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """The tally as plain values."""
        return {
            "statuses": dict(self.statuses), "kinds": dict(sorted(self.kinds.items())),
            "refusals": self.refusals, "seconds": self.seconds,
            "faults": [
                {"seed": f.seed, "result": asdict(f.result), "smallest": asdict(f.smallest),
                 "smallest_result": asdict(f.smallest_result)}
                for f in self.faults
            ],
        }  # fmt: skip


def run(seeds: range, tries: int, after: Callable[[int, Result, Tally], None]) -> Tally:
    """Tries every seed; `after` is called after each.

    Args:
        seeds: what to draw.
        tries: how many smaller cases to try for each fault; 0 leaves it as drawn.
        after: for the progress.
    """
    tally = Tally()
    gc.collect()
    gc.freeze()  # Keras collects several times a case: half of the time goes to what imports made
    for seed in seeds:
        case = draw(seed)
        result = compare(case)
        tally.statuses[result.status] += 1
        tally.seconds += result.seconds
        if result.status != "undrawn":
            tally.kinds.update(case.kinds() | {DIVERGED, BY_A_HAIR} & set(result.done))
        if result.status == REFUSED:
            tally.refusals[seed] = result.detail
        if result.status in (DIFFERENT, CRASHED):
            tally.faults.append(Fault(seed, result, *shrink(case, result, tries)))
        after(seed, result, tally)
    return tally
