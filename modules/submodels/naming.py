"""Names of layers that no one named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from keras.src.backend.common import global_state

COUNTS = "object_name_uids"


@contextmanager
def names_from_scratch() -> Iterator[None]:
    """Keras numbers layers without a name over all that the process has made; here, from the start.

    KerasHub's models store no layers, they make them anew when loaded: only so do these have the
    same names in every process, whatever was loaded before.
    """
    before = global_state.get_global_attribute(COUNTS)
    global_state.set_global_attribute(COUNTS, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(COUNTS, before)
