"""Names made unique, the same way wherever they are made."""

from __future__ import annotations

from collections.abc import Iterable


def unique(names: Iterable[str]) -> list[str]:
    """The names in their order; one that came before gets a number: `kernel`, `kernel_2`."""
    found: dict[str, None] = {}
    for wanted in names:
        name, copies = wanted, 1
        while name in found:
            copies += 1
            name = f"{wanted}_{copies}"
        found[name] = None
    return list(found)
