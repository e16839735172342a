"""Commands of the project in forked children, so that TensorFlow and TFX are imported once.

A child is a process like any other: with a group, signals and exit code of its own.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

SECONDS = 600.0


def import_all() -> None:
    """Imports what a run needs; no thread of TensorFlow starts before its first operation."""
    import apache_beam  # noqa: F401  before TensorFlow, which else crashes while Python shuts down

    from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

    import_tensorflow_quietly()
    import tfx_fusion.modules.report.page
    import tfx_fusion.modules.serving.published
    import tfx_fusion.modules.validation.validate
    import tfx_fusion.pipeline.local_runner
    import tfx_fusion.pipeline.metadata
    import tfx_fusion.pipeline.pipeline
    import tfx_fusion.pipeline.run  # noqa: F401


class Child:
    """A forked process that does something in a folder, and what it prints."""

    def __init__(self, folder: Path, action: Callable[[], object]) -> None:
        reader, writer = os.pipe()
        sys.stdout.flush()
        self.process = os.fork()
        if self.process == 0:
            _be_child(folder, action, writer)
        os.close(writer)
        self._reader, self._code = reader, None
        self.text = ""

    @property
    def lines(self) -> Iterator[str]:
        """Each line as it is printed, to the end of the process."""
        pending = ""
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            if not select.select([self._reader], [], [], 1.0)[0]:
                if self.code() is not None:  # what it left behind holds the other end
                    return
                continue
            content = os.read(self._reader, 1 << 16).decode(errors="replace")
            if not content:
                return
            self.text += content
            *whole, pending = (pending + content).split("\n")
            yield from whole
        self.kill()
        raise TimeoutError(self.text)

    def send(self, number: int, group: bool = False) -> None:
        """Sends a signal to the process or to its whole group."""
        with suppress(ProcessLookupError):  # it has ended already
            (os.killpg if group else os.kill)(self.process, number)

    def limit_memory(self, more: int) -> None:
        """Lets the process have no more than some bytes beyond what it has."""
        pages = int(Path(f"/proc/{self.process}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + more
        with suppress(ProcessLookupError):
            resource.prlimit(self.process, resource.RLIMIT_AS, (limit, limit))

    def kill(self) -> None:
        """Ends its whole group."""
        self.send(signal.SIGKILL, group=True)

    def code(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self._code is None:
            found, status = os.waitpid(self.process, os.WNOHANG)
            if found:
                self._code = os.waitstatus_to_exitcode(status)
        return self._code

    def wait(self) -> int:
        """Reads to its end; returns its exit code."""
        for _ in self.lines:
            pass
        end = time.monotonic() + SECONDS
        while (code := self.code()) is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(self.text)
            time.sleep(0.02)
        return code


def _be_child(folder: Path, action: Callable[[], object], writer: int) -> None:
    """Never returns."""
    code = 1
    try:
        os.setsid()
        os.chdir(folder)
        for stream in (1, 2):
            os.dup2(writer, stream)
        os.close(writer)
        action()
        code = 0
    except SystemExit as error:
        code = 0 if error.code is None else error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 the fork must not return into its parent
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


def fusion(folder: Path, *arguments: str, clock: float = 0.0) -> Child:
    """The command `fusion` in a folder, with its clock set forward by some seconds, or back."""

    def action() -> None:
        from tfx_fusion.cli import main

        if clock:
            _set_clock(clock)
        sys.argv = ["fusion", *arguments]
        main()

    return Child(folder, action)


def _set_clock(seconds: float) -> None:
    """Changes what names runs and versions; ML Metadata, in C++, has the system's clock."""
    import datetime

    from tfx_fusion.modules.registry import publish
    from tfx_fusion.pipeline import run

    class Shifted(datetime.datetime):
        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> Shifted:
            return cls.fromtimestamp(time.time() + seconds, tz)

    # Not `time.time` itself: Beam pickles it by its name.
    publish.time = SimpleNamespace(time=lambda: time.time() + seconds)  # type: ignore[assignment]
    run.datetime = publish.datetime = Shifted  # type: ignore[attr-defined, misc]
