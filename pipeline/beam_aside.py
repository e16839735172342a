"""How Beam runs a stage, kept out of TFX's cache.

TFX's cache takes Beam's arguments for a part of what a stage computes, so that another runner would
run everything anew. They are laid aside before a run, and given to each stage when it executes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tfx import v1 as tfx
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.orchestration.portable.data_types import ExecutionInfo
from tfx.proto.orchestration.executable_spec_pb2 import BeamExecutableSpec
from tfx.proto.orchestration.execution_result_pb2 import ExecutorOutput
from tfx.proto.orchestration.placeholder_pb2 import PlaceholderExpression


@contextmanager
def beam_arguments_aside(pipeline: tfx.dsl.Pipeline) -> Iterator[None]:
    """While it lasts, stages run as their components say, but their cache keys do not hold it."""
    arguments: dict[str, list[str]] = {}
    for node in pipeline.components:
        if isinstance(node.executor_spec, BeamExecutorSpec):
            arguments[node.id] = list(node.executor_spec.beam_pipeline_args)
            node.executor_spec.beam_pipeline_args.clear()

    class Operator(BeamExecutorOperator):
        """Gives a stage its arguments back when it executes: all is known of the cache by then."""

        def run_executor(self, execution_info: ExecutionInfo, *given: Any) -> ExecutorOutput:
            own = arguments[execution_info.pipeline_node.node_info.id]
            self.beam_pipeline_args = [_as_placeholder(argument) for argument in own]
            return super().run_executor(execution_info, *given)

    # LocalDagRunner hands on no operators of its own, so the default is another one for a while.
    default = launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec]
    launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec] = Operator
    try:
        yield
    finally:
        launcher.DEFAULT_EXECUTOR_OPERATORS[BeamExecutableSpec] = default


def _as_placeholder(argument: str) -> PlaceholderExpression:
    expression = PlaceholderExpression()
    expression.value.string_value = argument
    return expression
