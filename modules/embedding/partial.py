"""Where a sub-model can be cut when a stage unfreezes only its last layers.

What lies before every unfrozen layer stays what was imported, and can still be embedded once.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from tfx_fusion.modules.submodels.interface import Interface

# Near the data embeddings grow larger than what they are computed from; then raw data do better.
MOST_BYTES_PER_ROW = 256 << 10


def still_below(
    interface: Interface, taps: Iterable[str], changed: Collection[str]
) -> tuple[str, ...] | None:
    """The inner layers of a sub-model whose outputs no change reaches, and that lead to the taps.

    Args:
        interface: the sub-model's.
        taps: what is taken from it.
        changed: the layers with weights that are unfrozen, by name.

    Returns the layers to cut at, in the order of the data; None where there is no such cut: some
    of what would cross it cannot be taken, comes straight from the data, or is too large.
    """
    if interface.format == "saved_model":
        return None  # its graph is not known
    moving: set[str] = set()
    for name, layer in interface.layers.items():
        if set(layer.weights) & set(changed) or set(layer.inputs) & moving:
            moving.add(name)
    ends = {interface.taps()[tap].layer for tap in taps}
    crossing: set[str] = set()
    seen: set[str] = set()
    left = list(ends)
    while left:
        name = left.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in moving:
            left.extend(interface.layers[name].inputs)
        else:
            crossing.add(name)
    if not crossing <= interface.cuts.keys():
        return None
    total = 0
    for name in crossing:
        shape = interface.cuts[name].shape
        if None in shape:
            return None
        total += 4 * math.prod(size for size in shape if size is not None)
    ordered = tuple(name for name in interface.layers if name in crossing)
    return ordered if total <= MOST_BYTES_PER_ROW else None
