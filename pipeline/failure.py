"""Why a run failed, in one paragraph."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tfx_fusion.modules.errors import UserError, library_cause, user_error

# What a disk raises, by the system's own text: TensorFlow, SQLite and Beam pass only that on.
FULL = re.compile(
    "|".join((
        *map(os.strerror, (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)), "disk is full",
    ))
)  # fmt: skip
DENIED = re.compile(
    "|".join((
        *map(os.strerror, (errno.EROFS, errno.EACCES, errno.EPERM)), "readonly database",
    ))
)  # fmt: skip
MEMORY = re.compile(rf"MemoryError|bad_alloc|OOM when|{os.strerror(errno.ENOMEM)}")
LOST = re.compile(os.strerror(errno.EIO))
REMEDIES = {
    FULL: ("no space is left on the disk", "free some space"),
    DENIED: ("a folder or file cannot be written", "change its permissions"),
    MEMORY: ("there is not enough memory", "take smaller batches or end other programs"),
    LOST: ("the disk cannot be read or written", "check the disk"),
}


@contextmanager
def readable_errors() -> Iterator[None]:
    """A user's error that leaves it shows no line that only other processes read."""
    try:
        yield
    except UserError as error:
        error.__notes__ = [note for note in error.__notes__ if note != error.line]
        raise


def cause_of(error: BaseException) -> str:
    """The message of the user's error behind an exception, else what a library says in a line."""
    found = user_error(error)
    if found is not None:
        return str(found)
    return machine_problem(error) or library_cause(error)


def machine_problem(error: BaseException) -> str | None:
    """What a disk or the memory failed in, and the remedy; None where another thing failed."""
    for one in _chain(error):
        if not isinstance(one, Exception):
            continue
        text = f"{type(one).__name__}: {one}"
        for pattern, (problem, remedy) in REMEDIES.items():
            if pattern.search(text):
                return (
                    f"{problem}: {library_cause(one)}: {remedy} and run again; what is finished is "
                    "reused"
                )
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    step: BaseException | None = error
    while step is not None and id(step) not in seen:
        seen.add(id(step))
        yield step
        step = step.__cause__ or step.__context__
