"""ManifestExampleGen's work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils
from tfx.utils import io_utils

from tfx_fusion.components.data_channel import describe_data
from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.data.write import collect, write_examples
from tfx_fusion.modules.registry.version_record import DataSource

SOURCE_KEY = "source"
PATH_KEY = "data_path"
FINGERPRINT_KEY = "data_fingerprint"
EXAMPLES_KEY = "examples"
SCHEMA_KEY = "schema"
REJECTED_KEY = "rejected_rows"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the examples with Beam, then the schema and the rejected rows."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        path = Path(exec_properties[PATH_KEY])
        source = RowSource.model_validate_json(exec_properties[SOURCE_KEY]).at(path)
        examples = artifact_utils.get_single_instance(output_dict[EXAMPLES_KEY])
        schema = artifact_utils.get_single_instance(output_dict[SCHEMA_KEY])
        rejected = artifact_utils.get_single_instance(output_dict[REJECTED_KEY])

        content = exec_properties[FINGERPRINT_KEY] or fingerprint(path, source.features)
        describe_data(examples, DataSource(path=str(path), fingerprint=content))
        examples.split_names = artifact_utils.encode_split_names(list(SPLITS))
        folders = {split: artifact_utils.get_split_uri([examples], split) for split in SPLITS}
        summaries = f"{rejected.uri}/shards"
        with self._make_beam_pipeline() as pipeline:
            write_examples(pipeline, source, folders, summaries)

        counts = collect(source, summaries, rejected.uri)
        for name in ("train", "eval", "rejected"):
            rejected.set_int_custom_property(name, getattr(counts, name))
        io_utils.write_pbtxt_file(
            f"{schema.uri}/schema.pbtxt",
            implied_schema(source.features, source.labels),
        )
