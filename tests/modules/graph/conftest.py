"""What tests of the graph share."""

from __future__ import annotations

import pytest
from towers import Towers


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> Towers:
    return Towers(tmp_path_factory.mktemp("towers"))
