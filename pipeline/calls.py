"""A check or a run in a process of its own, and what it sends back while it goes on.

A run changes its process for good: Keras's seeds, TensorFlow's deterministic ops, handlers of
signals and logs. A check needs a Keras on NumPy. Neither may happen to a program or a notebook that
goes on afterwards, so `pipeline.worker` does it for them.

The process writes lines for the user to its standard output, and among them events: a line that
begins with EVENT and is a JSON object with one key.

    {"steps": {"folder": …, "steps": [StepRecord, …]}}   a run's folder, and its steps
    {"step": {"record": StepRecord, "note": …}}          one of them has changed
    {"shown": null}                                      no step will change any more
    {"ended": {…}}                                       the last one, see `_result`
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict

from tfx_fusion.modules.errors import Problem, RunError, SpecificationError
from tfx_fusion.modules.processes import ending_with_this
from tfx_fusion.modules.spec import Specification
from tfx_fusion.pipeline.ending import Interrupted

EVENT = "\x1e"  # as in JSON text sequences (RFC 7464)
WORKER = ("-m", "tfx_fusion.pipeline.worker")
TICK_SECONDS = 1.0
# With these, Rich takes a pipe for a terminal; IPython's kernel sets one.
TERMINAL_VARIABLES = ("FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE")

Action = Literal["check", "run"]
Event = dict[str, Any]
# Lines as they are read; an empty one at the end.
Lines = queue.Queue[str]


class Request(BaseModel):
    """What a process is to do: with a specification's file, or with one built in Python."""

    model_config = ConfigDict(serialize_by_alias=True)

    action: Action
    file: Path | None = None
    specification: Specification | None = None
    folder: Path  # of the runs

    @classmethod
    def of(cls, action: Action, source: Path | Specification, folder: Path) -> Request:
        """The request for a file, or for a specification that was built in Python."""
        if isinstance(source, Path):
            return cls(action=action, file=source, folder=folder)
        return cls(action=action, specification=source, folder=folder)

    @property
    def source(self) -> Path | Specification:
        """What `of` was given."""
        source = self.file or self.specification
        assert source is not None  # noqa: S101
        return source


def _ignore(_: object) -> None:
    """Does nothing with it."""


def call(
    request: Request,
    on_line: Callable[[str], None] = _ignore,
    on_event: Callable[[Event], None] = _ignore,
    on_tick: Callable[[], None] = lambda: None,
) -> Event:
    """Does what is asked for in a new process; returns what its last event holds.

    Args:
        request: what to do.
        on_line: called with each line for the user.
        on_event: called with each event.
        on_tick: called about once a second while nothing else happens.

    Raises SpecificationError or RunError where the process ends with one, and Interrupted when this
    one is interrupted: once the process has cleaned up, as it also does where a callback raises.
    """
    ended: Event = {}
    with tempfile.TemporaryFile("w+", errors="replace") as errors:
        process = _start(request, errors)
        lines = _reading(process)
        try:
            while (line := _next(lines)) != "":
                if line is None:
                    on_tick()
                elif line.startswith(EVENT):
                    event = json.loads(line.removeprefix(EVENT))
                    ended = event.get("ended", ended)
                    on_event(event)
                else:
                    on_line(line.rstrip("\n"))
        except BaseException as error:
            process.send_signal(signal.SIGINT)
            interrupted = isinstance(error, KeyboardInterrupt)
            try:
                ended = _last(lines, on_event if interrupted else _ignore)
            except BaseException:  # interrupted once more
                process.kill()
                raise
            if interrupted:
                raise _interruption(ended.get("interrupted", "")) from None
            raise
        finally:
            code = process.wait()
        if not ended:
            errors.seek(0)
            raise _crash(code, errors.read())
    return _result(ended)


def _start(request: Request, errors: IO[str]) -> subprocess.Popen[str]:
    """The process, which ends with this one and can import what this one can."""
    variables = {key: value for key, value in os.environ.items() if key not in TERMINAL_VARIABLES}
    search = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        ending_with_this([sys.executable, "-P", *WORKER]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        env={**variables, "PYTHONPATH": search},
        text=True,
        errors="replace",
    )
    assert process.stdin  # noqa: S101
    with suppress(BrokenPipeError), process.stdin as stdin:  # it may have ended
        stdin.write(request.model_dump_json())
    return process


def _reading(process: subprocess.Popen[str]) -> Lines:
    """The lines that a process prints, read by a thread: the wait for one can be interrupted."""
    lines: Lines = queue.Queue()

    def read(stream: IO[str]) -> None:
        with stream:
            for line in stream:
                lines.put(line)
        lines.put("")

    threading.Thread(target=read, args=(process.stdout,), daemon=True).start()
    return lines


def _next(lines: Lines) -> str | None:
    """The next line, empty at the end; None where none comes for a while."""
    with suppress(queue.Empty):
        return lines.get(timeout=TICK_SECONDS)
    return None


def _last(lines: Lines, on_event: Callable[[Event], None]) -> Event:
    """What the last event holds, once the process has ended."""
    ended: Event = {}
    while (line := _next(lines)) != "":
        if line is not None and line.startswith(EVENT):
            event = json.loads(line.removeprefix(EVENT))
            ended = event.get("ended", ended)
            on_event(event)
    return ended


def _result(ended: Event) -> Event:
    """What the last event holds, unless that is an error, which is raised.

    Raises SpecificationError for `problems`, RunError for `error`, Interrupted for `interrupted`.
    """
    if "problems" in ended:
        raise SpecificationError(Problem(**one) for one in ended["problems"])
    if "error" in ended:
        raise RunError(ended["error"])
    if "interrupted" in ended:
        raise _interruption(ended["interrupted"])
    return ended


def _interruption(message: str) -> Interrupted:
    error = Interrupted("interrupted")
    error.message = message
    return error


def _crash(code: int, printed: str) -> Exception:
    """The error of a process that ended without a word: a signal, or a fault of this project."""
    if code < 0:
        name = signal.Signals(-code).name
        return RunError(f"the process was ended by {name}: it may need more memory than there is")
    return RuntimeError(f"the process ended with code {code}:\n{printed}")
