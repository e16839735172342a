"""The user's errors, and how they come back from another process."""

from __future__ import annotations

import pickle
import traceback

import apache_beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from tfx_fusion.modules.errors import (
    RejectedRowsError,
    RunError,
    SpecificationError,
    UserError,
    user_error,
)

ERRORS = [
    RunError("row 7: expected a number\nfound 'x'"),
    SpecificationError(["data.path: missing", "graph: a cycle\n  of two"]),
    RejectedRowsError("2 of 9 rows were rejected", [("row 1", "size", "empty")]),
]


def printed(error: UserError) -> str:
    """The traceback of an error, as Beam sends it from a worker."""
    try:
        raise error
    except UserError:
        return traceback.format_exc()


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_comes_back_from_its_traceback_with_type_and_message(error: UserError) -> None:
    found = user_error(RuntimeError(printed(error)))

    assert type(found) is type(error)
    assert str(found) == str(error)
    assert getattr(found, "problems", None) == getattr(error, "problems", None)


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_can_be_pickled(error: UserError) -> None:
    found = pickle.loads(pickle.dumps(error))  # noqa: S301

    assert (type(found), str(found), vars(found)) == (type(error), str(error), vars(error))


def test_what_is_added_to_the_line_of_an_error_is_ignored() -> None:
    text = printed(RunError("damaged")).rstrip() + " [while running 'Write']"

    assert str(user_error(text)) == "damaged"


def test_the_last_of_several_errors_counts() -> None:
    assert str(user_error(printed(RunError("one")) + printed(RunError("two")))) == "two"


@pytest.mark.parametrize(
    "text", ["", "ValueError: x", "fusion-error: {", 'fusion-error: {"error": "Other"}']
)
def test_a_text_without_an_error_of_ours_has_none(text: str) -> None:
    assert user_error(text) is None


def test_an_exception_that_is_its_own_cause_ends_the_search() -> None:
    one, other = ValueError("a"), ValueError("b")
    one.__cause__, other.__cause__ = other, one

    assert user_error(one) is None


class Fail(apache_beam.DoFn):
    def process(self, row: int) -> None:
        raise SpecificationError(["one", f"two: {row}"])


@pytest.mark.component
@pytest.mark.parametrize(
    "mode", ["in_memory", "multi_processing"], ids=["thread", "another process"]
)
def test_an_error_of_a_dofn_passes_through_beam(mode: str) -> None:
    runner = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    options = PipelineOptions(
        [f"--runner={runner}", f"--direct_running_mode={mode}", "--direct_num_workers=1"]
    )

    with (
        pytest.raises(Exception) as caught,  # noqa: PT011
        apache_beam.Pipeline(options=options) as pipeline,
    ):
        _ = pipeline | apache_beam.Create([7]) | apache_beam.ParDo(Fail())

    found = user_error(caught.value)
    assert isinstance(found, SpecificationError)
    assert found.problems == ["one", "two: 7"]
