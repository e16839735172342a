"""The cause of a failed run in one paragraph, whoever wrapped the exception."""

from __future__ import annotations

from tfx_fusion.modules.errors import RunError
from tfx_fusion.pipeline.failure import cause_of


def test_a_users_error_is_told_as_it_is() -> None:
    assert cause_of(RunError("data.csv: no such data file")) == "data.csv: no such data file"


def test_the_users_error_behind_another_one_is_found() -> None:
    wrapped = ValueError("something of a library's")
    wrapped.__cause__ = RunError("the split 'eval' has no rows")
    assert cause_of(wrapped) == "the split 'eval' has no rows"


def test_what_beam_makes_of_an_error_is_undone() -> None:
    text = (
        "Traceback (most recent call last):\n  File ...\n"
        "modules.errors.RunError: rows.tfrecord: damaged after record 7 [while running 'Write']\n\n"
        "During handling of the above exception, another exception occurred"
    )
    assert cause_of(RuntimeError(text)) == "rows.tfrecord: damaged after record 7"
    kept = RunError("rows.tfrecord: damaged after record 7 [while running 'Write-ptransform-3']")
    assert cause_of(kept) == "rows.tfrecord: damaged after record 7"


def test_of_any_other_error_the_type_and_the_first_paragraph_are_told() -> None:
    error = KeyError("first line\nsecond line\n\na long explanation")
    assert cause_of(error).startswith("KeyError: ")
    assert "a long explanation" not in cause_of(OSError("first line\nsecond\n\na long explanation"))


def test_of_an_autograph_error_the_last_line_is_the_cause() -> None:
    error = TypeError("in user code:\n\n    File ...\n\n    ValueError: shapes differ")
    assert cause_of(error) == "TypeError: ValueError: shapes differ"
