"""The errors a user can cause. Libraries raise them; only the commands print them and exit."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

SHOWN_NAMES = 20


class UserError(Exception):
    """Something the user can put right; the message says what was expected, found, and to do."""


class SpecificationError(UserError):
    """The specification is wrong. Carries every problem found, each with its key."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join(self.problems))


class RunError(UserError):
    """A run cannot go on: the data, a sub-model or a folder is not as the specification says."""


class RejectedRowsError(RunError):
    """The rows do not do. Carries those that were rejected, as (row, column, reason).

    TFX removes what a failed stage has written, so they travel with the error.
    """

    def __init__(self, message: str, rejected: list[tuple[str, str, str]]) -> None:
        super().__init__(message)
        self.rejected = rejected


def suggestion(name: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: the nearest known one, else all of them."""
    names = sorted(known)
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean '{close[0]}'?"
    if not names:
        return "there are none"
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"known: {', '.join(names[:SHOWN_NAMES])}{more}"


def first_line(error: Exception) -> str:
    """The line of an error's message that tells the cause; Keras adds many that do not help."""
    lines = [line for line in re.sub(r"\x1b\[\d+m", "", str(error)).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        return lines[1].strip()
    return lines[0].strip() if lines else type(error).__name__
