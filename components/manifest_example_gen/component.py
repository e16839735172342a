"""Rows in: a data file with media paths becomes tf.Examples by split, with their schema."""

from tfx.dsl.components.base import base_beam_component, executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec

from tfx_fusion.components.artifacts import RejectedRows
from tfx_fusion.components.channels import filled, texts
from tfx_fusion.components.manifest_example_gen import executor
from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.source import RowSource


class ManifestExampleGenSpec(ComponentSpec):
    """The file comes as a parameter, with a fingerprint, since TFX's cache cannot see into it."""

    PARAMETERS = texts(executor.SOURCE_KEY, executor.PATH_KEY, executor.FINGERPRINT_KEY)
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {
        executor.EXAMPLES_KEY: ChannelParameter(type=standard_artifacts.Examples),
        executor.SCHEMA_KEY: ChannelParameter(type=standard_artifacts.Schema),
        executor.REJECTED_KEY: ChannelParameter(type=RejectedRows),
    }


class ManifestExampleGen(base_beam_component.BaseBeamComponent):
    """Reads CSV, JSONL, Parquet or TFRecords; bad rows are set aside with their reasons."""

    SPEC_CLASS = ManifestExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(executor.Executor)

    def __init__(self, source: RowSource, data_fingerprint: str | None = None) -> None:
        """
        Args:
            source: the data file, and the features and labels to read from it.
            data_fingerprint: digest of the data's content (`modules.data.fingerprint`); None takes
                it now. Empty where the data cannot be seen before the component runs, which then
                takes it, and whose cache does not see that they have changed.
        """
        if data_fingerprint is None:
            data_fingerprint = fingerprint(source.data.path, source.features)
        values = {
            executor.SOURCE_KEY: source.model_dump_json(),
            executor.PATH_KEY: str(source.data.path),
            executor.FINGERPRINT_KEY: data_fingerprint,
        }
        super().__init__(filled(ManifestExampleGenSpec, values))
