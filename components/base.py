"""The base of the executors: typed access to what a component is given, and its summary."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from tfx import types
from tfx.types import artifact_utils, standard_artifacts

from tfx_fusion.components.channels import Imported, submodel_key
from tfx_fusion.modules.data.file_list import check_files, list_files
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.report.summaries import RowsSummary, StepSummary, Summary

SUMMARY_KEY = "summary"  # property of a step's outputs, with the summary as JSON
FILES_KEY = "files_digest"  # property of an artifact, of the list of its files
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
        """The folder of a split of an input that is one artifact."""
        self.input(key)
        return self.split_folders(key, name)[0]

    def split_folders(self, key: str, name: str) -> list[str]:
        """The folder of a split in each artifact of an input, as of several spans.

        Raises RunError where one has no such split.
        """
        for artifact in self.inputs[key]:
            found = artifact_utils.decode_split_names(artifact.split_names)
            if name not in found:
                raise RunError(
                    f"{artifact.uri}: expected a split '{name}' of the {key}, found "
                    f"{', '.join(found) or 'none'}: name one of these"
                )
        return artifact_utils.get_split_uris(self.inputs[key], name)

    def splits(self, key: str) -> dict[str, str]:
        """The folder of each split of an input."""
        return {name: self.split(key, name) for name in SPLITS}

    def named_splits(self, key: str, names: Mapping[str, str]) -> dict[str, list[str]]:
        """The folders of `train` and `eval` of an input, whatever their names are there."""
        return {split: self.split_folders(key, name) for split, name in names.items()}

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
        summary = summary_of(self.inputs[key])
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
        with listed_files(input_dict, output_dict):
            summary = self.execute(Execution(input_dict, output_dict, exec_properties))
        if summary is not None:
            for artifact in _all(output_dict):
                artifact.set_string_custom_property(SUMMARY_KEY, summary.model_dump_json())

    @abstractmethod
    def execute(self, run: Execution) -> Summary | None:
        """Does the component's work."""


# TFX reads the only file in the folder of a schema, so that none can lie beside it.
SINGLE_FILE = (standard_artifacts.Schema.TYPE_NAME,)


@contextmanager
def listed_files(inputs: Artifacts, outputs: Artifacts) -> Iterator[None]:
    """Checks the files of the inputs before and after a step, and lists those of the outputs.

    Raises RunError, with the file, where an input is not as its step left it, or the folder of an
    output is in use already. Inputs of components that list no files are taken as they are.
    """
    for artifact in _all(outputs):
        _check_empty(Path(artifact.uri))
    for artifact in _all(inputs):
        check_artifact(artifact)
    yield
    for artifact in _all(inputs):
        check_artifact(artifact)
    for artifact in _all(outputs):
        store = artifact.type_name not in SINGLE_FILE
        artifact.set_string_custom_property(FILES_KEY, list_files(Path(artifact.uri), store))


def check_artifact(artifact: types.Artifact) -> None:
    """Raises RunError where an artifact whose files are listed has others."""
    digest = artifact.get_string_custom_property(FILES_KEY)
    if digest:
        check_files(Path(artifact.uri), digest)


def _check_empty(folder: Path) -> None:
    found = next(folder.iterdir(), None) if folder.is_dir() else None
    if found:
        raise RunError(
            f"{folder}: expected an empty folder for what the step makes, found {found.name} of "
            "an earlier run: delete the folder and run again"
        )


def _all(artifacts: Artifacts) -> Iterator[types.Artifact]:
    for found in artifacts.values():
        yield from found


def summary_of(outputs: Iterable[types.Artifact]) -> StepSummary | None:
    """The summary of the step that made some outputs; None for a component of TFX's own."""
    texts = [artifact.get_string_custom_property(SUMMARY_KEY) for artifact in outputs]
    return next((SUMMARIES.validate_json(text) for text in texts if text), None)
