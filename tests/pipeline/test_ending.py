"""Signals end a command with the exit code that shells expect, and one message."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

COMMAND = """
import os, signal, sys, time
import click
from tfx_fusion import cli

@cli.fusion.command()
def wait():
    try:
        print("ready", flush=True)
        time.sleep(60)
    finally:
        {cleaning}

cli.LazyGroup.get_command = lambda group, context, name: wait
sys.argv = ["fusion", "wait"]
cli.main()
"""
WRAPPED = "raise RuntimeError('a library hides the interruption')"


def ended(number: signal.Signals, cleaning: str, times: int = 1) -> tuple[int, str]:
    """The exit code and the errors of a command that gets a signal some times."""
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(cleaning=cleaning)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as command:  # fmt: skip
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        for _ in range(times):
            command.send_signal(number)
            time.sleep(0.2)
        return command.wait(60), command.communicate()[1]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
@pytest.mark.parametrize("cleaning", ["pass", WRAPPED])
def test_a_signal_ends_a_command_with_its_code_and_one_message(
    number: signal.Signals, code: int, cleaning: str
) -> None:
    found, errors = ended(number, cleaning)

    assert found == code
    assert errors.split() == ["interrupted", "by", number.name]


def test_a_signal_that_comes_twice_at_once_does_not_stop_the_cleaning_up() -> None:
    cleaning = "time.sleep(1); print('cleaned', file=sys.stderr)"

    code, errors = ended(signal.SIGTERM, cleaning, times=2)

    assert (code, errors.split()) == (143, ["cleaned", "interrupted", "by", "SIGTERM"])


def test_a_signal_that_is_ignored_stays_so() -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from tfx_fusion.pipeline \
import ending; ending.install(); signal.raise_signal(signal.SIGHUP); print('goes on')"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (done.returncode, done.stdout) == (0, "goes on\n")
