"""A short run of the fuzzing of `fusion validate`, in the suite."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.component
def test_damaged_specifications_and_models_end_in_an_answer(tmp_path: Path) -> None:
    figures = tmp_path / "found.json"
    # In a process of its own: a check takes Keras on NumPy.
    command = [sys.executable, "-m", "benchmarks.fuzz_validate", "--json", str(figures)]
    done = subprocess.run(
        [*command, "--specifications", "40", "--models", "6", "--seed", "7"],
        capture_output=True,
        text=True,
    )

    found = json.loads(figures.read_text()) if figures.is_file() else {"faults": [done.stderr]}
    assert found["faults"] == []
    assert sum(found["ends"].values()) == 46
