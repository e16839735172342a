"""The cause of a failed run in one paragraph, whoever wrapped the exception."""

from __future__ import annotations

import errno
import os
import traceback

import pytest

from tfx_fusion.modules.errors import RunError
from tfx_fusion.pipeline.failure import cause_of, machine_problem


def test_a_users_error_is_reported_as_it_is() -> None:
    assert cause_of(RunError("data.csv: no such data file")) == "data.csv: no such data file"


def test_the_users_error_behind_another_one_is_found() -> None:
    wrapped = ValueError("something of a library's")
    wrapped.__cause__ = RunError("the split 'eval' has no rows")
    assert cause_of(wrapped) == "the split 'eval' has no rows"


def test_the_users_error_of_another_process_is_found_in_the_text_of_its_traceback() -> None:
    try:
        raise RunError("rows.tfrecord: damaged\nafter record 7")
    except RunError:
        text = traceback.format_exc()
    wrapped = f"{text}\nDuring handling of the above exception, another exception occurred"
    assert cause_of(RuntimeError(wrapped)) == "rows.tfrecord: damaged\nafter record 7"


def test_of_any_other_error_the_type_and_the_first_paragraph_are_reported() -> None:
    error = KeyError("first line\nsecond line\n\na long explanation")
    assert cause_of(error).startswith("KeyError: ")
    assert "a long explanation" not in cause_of(OSError("first line\nsecond\n\na long explanation"))


def test_of_an_autograph_error_the_last_line_is_the_cause() -> None:
    error = TypeError("in user code:\n\n    File ...\n\n    ValueError: shapes differ")
    assert cause_of(error) == "TypeError: ValueError: shapes differ"


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    """An error as a library raises it in the place of its cause."""
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "problem", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/a"), "no space", "free some"),
        (raised(ValueError("not written"), OSError(errno.EDQUOT, os.strerror(errno.EDQUOT), "/a")),
         "no space", "free some space"),
        (RuntimeError("Traceback (most recent call last):\n  File \"a.py\", line 1, in b\n    c()\n"
                      "OSError: [Errno 28] No space left on device: '/runs/a'"),
         "no space", "free some space"),
        (RuntimeError("INTERNAL: mlmd: database or disk is full"), "no space", "free some space"),
        (OSError(errno.EROFS, "Read-only file system", "/runs/a"), "be written", "permissions"),
        (MemoryError(), "not enough memory", "smaller batches"),
        (RuntimeError("can't start new thread"), "not enough memory", "smaller batches"),
        (RuntimeError("std::bad_alloc"), "not enough memory", "smaller batches"),
        (OSError(errno.EIO, "Input/output error", "/runs/a"), "the disk cannot", "check the disk"),
    ],
)  # fmt: skip
def test_what_a_disk_or_the_memory_fails_in_is_named_with_a_remedy(
    error: BaseException, problem: str, remedy: str
) -> None:
    message = cause_of(error)

    assert problem in message
    assert remedy in message
    assert message.endswith("and run again; what is finished is reused")
    assert ("/runs/a" in message) == ("/runs/a" in f"{error}")


def test_an_error_of_another_kind_is_no_problem_of_the_machine() -> None:
    assert machine_problem(ValueError("shapes differ")) is None
    assert machine_problem(KeyboardInterrupt()) is None
