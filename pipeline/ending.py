"""Signals that end a command: as an exception, so that everything is cleaned up on the way out."""

import os
import signal
import time
from dataclasses import dataclass
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# `timeout` and terminals send a signal to a process and to its group: it comes twice at once.
REPEATED_SECONDS = 2.0


class Interrupted(KeyboardInterrupt):
    """A signal ends the command; `message` says what that is for the user, where it matters.

    Libraries let a KeyboardInterrupt pass, so it is one.
    """

    message = ""

    def _render_traceback_(self) -> list[str]:
        """What IPython and notebooks show in place of a traceback."""
        return ["interrupted", *([self.message] if self.message else [])]


@dataclass
class _First:
    number: signal.Signals | None = None
    at: float = 0.0


_first = _First()


def install() -> None:
    """Makes the signals raise Interrupted in the main thread; a second one ends at once.

    What is ignored stays so, as under `nohup`.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def received() -> signal.Signals | None:
    """The signal that ends this command, whatever a library made of its exception."""
    return _first.number


def check() -> None:
    """Raises Interrupted again where a library has swallowed it."""
    if _first.number is not None:
        raise Interrupted(_first.number.name)


def exit_code(number: signal.Signals) -> int:
    """The exit code that shells give to a process that a signal ends."""
    return 128 + number


def _end(number: int, _: FrameType | None) -> None:
    now = time.monotonic()
    if _first.number is None:
        _first.number, _first.at = signal.Signals(number), now
        raise Interrupted(_first.number.name)
    if now - _first.at > REPEATED_SECONDS:
        os._exit(exit_code(_first.number))
