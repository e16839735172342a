"""The base of the executors: typed access to what a component is given, and its summary."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from tfx import types
from tfx.types import artifact_utils

from tfx_fusion.components.channels import Imported, submodel_key
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.report.summaries import RowsSummary, StepSummary, Summary

SUMMARY_KEY = "summary"  # property of a step's outputs, with the summary as JSON
SUMMARIES: TypeAdapter[StepSummary] = TypeAdapter(StepSummary)

Artifacts = dict[str, list[types.Artifact]]
Model = TypeVar("Model", bound=BaseModel)


class Execution:
    """The inputs, outputs and parameters of one execution of a component, by their keys.

    Every input and output of this project is a single artifact.
    """

    def __init__(self, inputs: Artifacts, outputs: Artifacts, parameters: dict[str, Any]) -> None:
        self.inputs, self.outputs, self.parameters = inputs, outputs, parameters

    def input(self, key: str) -> types.Artifact:
        """The artifact of an input."""
        return artifact_utils.get_single_instance(self.inputs[key])

    def input_folder(self, key: str) -> Path:
        """The folder of an input."""
        return Path(self.input(key).uri)

    def has_input(self, key: str) -> bool:
        """Whether an optional input was given."""
        return bool(self.inputs.get(key))

    def split(self, key: str, name: str) -> str:
        """The folder of a split of an input."""
        return artifact_utils.get_split_uri(self.inputs[key], name)

    def splits(self, key: str) -> dict[str, str]:
        """The folder of each split of an input."""
        return {name: self.split(key, name) for name in SPLITS}

    def transform_path(self, key: str) -> str:
        """The graph inside a Transform component's output."""
        return str(self.input_folder(key) / "transform_fn")

    def submodels(self, names: Iterable[str]) -> Imported:
        """Imported sub-models, which have an input each."""
        return Imported.of({name: self.input(submodel_key(name)) for name in names})

    def output(self, key: str) -> types.Artifact:
        """The artifact of an output."""
        return artifact_utils.get_single_instance(self.outputs[key])

    def output_folder(self, key: str) -> Path:
        """The folder of an output."""
        return Path(self.output(key).uri)

    def output_splits(self, key: str) -> dict[str, str]:
        """The folder of each split of an output, which is given its splits."""
        artifact = self.output(key)
        artifact.split_names = artifact_utils.encode_split_names(list(SPLITS))
        return {name: artifact_utils.get_split_uri([artifact], name) for name in SPLITS}

    def rejected_rows(self, key: str) -> int:
        """How many rows were rejected when examples were read; 0 where another component did."""
        summary = summary_of([self.input(key)])
        return summary.rejected if isinstance(summary, RowsSummary) else 0

    def parameter(self, key: str, kind: type[Model]) -> Model:
        """A parameter that is a model as JSON."""
        return kind.model_validate_json(self.parameters[key])


class StepExecutor:
    """What every executor of this project is, before TFX's own class.

    `execute` does the work and returns the step's summary, which goes into the properties of all
    outputs: TFX's cache keeps them, and Kubeflow hands them on.
    """

    def Do(
        self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]
    ) -> None:
        summary = self.execute(Execution(input_dict, output_dict, exec_properties))
        if summary is not None:
            for artifacts in output_dict.values():
                for artifact in artifacts:
                    artifact.set_string_custom_property(SUMMARY_KEY, summary.model_dump_json())

    @abstractmethod
    def execute(self, run: Execution) -> Summary | None:
        """Does the component's work."""


def summary_of(outputs: Iterable[types.Artifact]) -> StepSummary | None:
    """The summary of the step that made some outputs; None for a component of TFX's own."""
    texts = [artifact.get_string_custom_property(SUMMARY_KEY) for artifact in outputs]
    return next((SUMMARIES.validate_json(text) for text in texts if text), None)
