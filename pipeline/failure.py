"""Why a run failed, in one paragraph."""

from __future__ import annotations

from tfx_fusion.modules.errors import library_cause, user_error


def cause_of(error: BaseException) -> str:
    """The message of the user's error behind an exception, else what a library says in a line."""
    found = user_error(error)
    return str(found) if found is not None else library_cause(error)
