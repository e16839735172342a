"""Steps that tests of a submission share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from kfp_api import task_details
from kfp_server_api import ApiClient, V2beta1PipelineTaskDetail

from tfx_fusion.kubeflow.submission import Submission
from tfx_fusion.modules.errors import RunError

Submit = Callable[..., Submission]


def started(submission: Submission) -> str:
    """Checks and starts a submission; returns the run's identifier."""
    submission.check()
    return submission.start("digits")


def error_of(submission: Submission) -> str:
    """The message of the error that a started submission ends with."""
    with pytest.raises(RunError) as caught:
        submission.follow(None)
    return str(caught.value)


def parsed_details(frames: list[dict[str, str]]) -> list[V2beta1PipelineTaskDetail]:
    """The tasks of a run (see `kfp_api.task_details`) as the API client parses them."""
    deserialize = ApiClient()._ApiClient__deserialize
    return deserialize(task_details("run", frames), "list[V2beta1PipelineTaskDetail]")
