"""TFX's own components, whose artifacts are checked as those of this project are."""

from typing import Any

from tfx.components.example_validator import component as validator_component
from tfx.components.example_validator import executor as validator
from tfx.components.statistics_gen import component as statistics_component
from tfx.components.statistics_gen import executor as statistics
from tfx.components.transform import component as transform_component
from tfx.components.transform import executor as transform
from tfx.dsl.components.base import executor_spec

from tfx_fusion.components.base import Artifacts, listed_files


class _ListsFiles:
    """Before an executor of TFX's: checks what it reads, and lists what it writes."""

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        with listed_files(input_dict, output_dict):
            super().Do(input_dict, output_dict, exec_properties)  # type: ignore[misc]


class StatisticsExecutor(_ListsFiles, statistics.Executor):
    """StatisticsGen's."""


class ValidatorExecutor(_ListsFiles, validator.Executor):
    """ExampleValidator's."""


class TransformExecutor(_ListsFiles, transform.Executor):
    """Transform's."""


class StatisticsGen(statistics_component.StatisticsGen):
    """TFX's StatisticsGen."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(StatisticsExecutor)


class ExampleValidator(validator_component.ExampleValidator):
    """TFX's ExampleValidator."""

    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ValidatorExecutor)


class Transform(transform_component.Transform):
    """TFX's Transform."""

    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(TransformExecutor)
