"""Times variants side by side, so that a noisy machine disturbs all of them equally."""

import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    """The seconds of each variant, round by round."""

    seconds: Mapping[str, list[float]]

    def median(self, *variants: str) -> float:
        """The median over the rounds of the variants' seconds together."""
        return statistics.median(self._sums(variants))

    def ratio(self, variant: str, *others: str) -> float:
        """How many times as long a variant takes as others together: the median over the rounds.

        Within a round both meet the same noise; a ratio of medians would mix rounds.
        """
        pairs = zip(self._sums([variant]), self._sums(others), strict=True)
        return statistics.median(one / other for one, other in pairs)

    def _sums(self, variants: tuple[str, ...] | list[str]) -> list[float]:
        return [sum(times) for times in zip(*(self.seconds[v] for v in variants), strict=True)]


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    rounds: int,
    warm_up: int,
    clock: Callable[[], float] = time.perf_counter,
) -> Timings:
    """Calls every variant once a round, forwards and backwards in turn.

    A variant must return only when its work is done. With `time.process_time` as clock the seconds
    are those of the processor, which others that use it do not prolong.
    """
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    gc.collect()
    gc.disable()
    try:
        for number in range(-warm_up, rounds):
            for name in variants if number % 2 else reversed(list(variants)):
                started = clock()
                variants[name]()
                if number >= 0:
                    seconds[name].append(clock() - started)
    finally:
        gc.enable()
    return Timings(seconds)
