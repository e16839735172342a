"""Makes the campaign importable as `tests.differential`, from any working folder."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = str(Path(__file__).resolve().parents[2])
if ROOT not in sys.path:
    sys.path.insert(0, ROOT)


@pytest.fixture(scope="package", autouse=True)
def collections_without_imports() -> Iterator[None]:
    """Leaves out of each garbage collection what the imports made: half of a case's time.

    `keras.backend.clear_session` collects, several times a case.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
