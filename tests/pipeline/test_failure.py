"""The cause of a failed run in one paragraph, whoever wrapped the exception."""

from __future__ import annotations

import traceback

from tfx_fusion.modules.errors import RunError
from tfx_fusion.pipeline.failure import cause_of


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
