"""Every process that collects the tests finds the same ones: pytest-xdist refuses to run else."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def _collected(seed: str) -> subprocess.Popen[str]:
    """A process that prints the id of each test; strings hash otherwise with another seed."""
    options = ["--collect-only", "-q", "-o", "addopts=--import-mode=importlib"]
    command = [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider"]
    return subprocess.Popen(
        [*command, "-p", "no:xdist"], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_two_processes_collect_the_same_tests_in_the_same_order_seconds_apart() -> None:
    first = _collected("1")
    time.sleep(3)  # what holds the time, gzip say, holds whole seconds
    second = _collected("2")
    ids = [process.communicate()[0].splitlines() for process in (first, second)]
    assert first.returncode == second.returncode == 0
    tests = [[line for line in lines if "::" in line] for lines in ids]
    assert len(tests[0]) > 1000
    assert tests[0] == tests[1]
