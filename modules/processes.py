"""Processes that end with the one that started them, however it ends.

This file is also the program that such a process begins with: it asks the system for the end, and
becomes what was wanted. It imports nothing of the project, so that it takes ten milliseconds.
"""

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def ending_with_this(command: Sequence[str]) -> list[str]:
    """A command that runs another one, and is killed when this process ends.

    The system counts the end of the thread that starts it: that must be one that waits for it.
    """
    return [sys.executable, "-ISs", __file__, str(os.getpid()), *command]


if __name__ == "__main__":  # PARENT COMMAND...
    _parent, *_command = sys.argv[1:]
    if hasattr(_libc := ctypes.CDLL(None), "prctl"):  # on Linux
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != int(_parent):  # it ended before it could be noticed
            sys.exit(f"the process {_parent} has ended")
    os.execvp(_command[0], _command)  # noqa: S606
