"""Processes that end with the one that started them."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from tfx_fusion.modules.processes import ending_with_this

PARENT = """
import subprocess, sys, time
from tfx_fusion.modules.processes import ending_with_this
child = subprocess.Popen(ending_with_this(["sleep", "600"]), stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
time.sleep(600)
"""


def is_alive(process: int) -> bool:
    """Whether a process runs; one that waits to be reaped does not."""
    try:
        status = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] not in "ZX"


def test_it_is_the_command_itself_and_says_how_it_ended() -> None:
    done = subprocess.run(
        ending_with_this(["sh", "-c", 'cat; echo "$0" >&2; exit 7', "a b*"]),
        input="given", capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stdout, done.stderr) == (7, "given", "a b*\n")


def test_it_ends_when_the_process_that_started_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert is_alive(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()

        with subprocess.Popen(["sleep", "5"]) as limit:
            while is_alive(child) and limit.poll() is None:
                pass
            limit.kill()
        assert not is_alive(child)


def test_it_does_not_start_where_that_one_has_ended_already() -> None:
    command = ending_with_this(["echo", "started"])
    command[command.index("echo") - 1] = "1"

    done = subprocess.run(command, capture_output=True, text=True)

    assert (done.stdout, done.stderr) == ("", "the process 1 has ended\n")
