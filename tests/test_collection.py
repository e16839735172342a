"""Every process that collects the tests finds the same ones: pytest-xdist refuses to run else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def by_file(tests: Iterable[str]) -> dict[str, list[str]]:
    """The files are in the order in which they were named."""
    return {file: list(group) for file, group in groupby(tests, lambda test: test.split("::")[0])}


def test_another_process_collects_the_same_tests_in_the_same_order_seconds_later(
    request: pytest.FixtureRequest,
) -> None:
    # Strings hash otherwise with another seed, and what holds the time, gzip say, is another.
    options = ["--collect-only", "-q", "-o", "addopts=--import-mode=importlib"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "-p", "no:cacheprovider", "-p", "no:xdist"],
        cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "1"}, capture_output=True, text=True,
    )  # fmt: skip

    assert done.returncode == 0, done.stdout + done.stderr
    found = [line for line in done.stdout.splitlines() if "::" in line]
    assert len(found) > 1000
    here = [item.nodeid for item in request.session.items]
    chosen = set(here)
    assert by_file(test for test in found if test in chosen) == by_file(here)
