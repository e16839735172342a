"""ManifestExampleGen's work."""

import json
from pathlib import Path

from tfx.dsl.components.base import base_beam_executor
from tfx.utils import io_utils

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.channels import MEDIA_KEY, describe_data
from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.write import collect, write_examples
from tfx_fusion.modules.registry.version_record import DataSource
from tfx_fusion.modules.report.summaries import RowsSummary

SOURCE_KEY = "source"
PATH_KEY = "data_path"
FINGERPRINT_KEY = "data_fingerprint"
EXAMPLES_KEY = "examples"
SCHEMA_KEY = "schema"
REJECTED_KEY = "rejected_rows"

# Properties of the rejected rows that `fusion lineage` reads in ML Metadata.
LINEAGE_COUNTS = ("train", "eval", "rejected")


class Executor(StepExecutor, base_beam_executor.BaseBeamExecutor):
    """Writes the examples with Beam, then the schema and the rejected rows."""

    def execute(self, run: Execution) -> RowsSummary:
        path = Path(run.parameters[PATH_KEY])
        source = run.parameter(SOURCE_KEY, RowSource).at(path)
        rejected = run.output(REJECTED_KEY)
        shards = f"{rejected.uri}/shards"

        folders = run.output_splits(EXAMPLES_KEY)
        with self._make_beam_pipeline() as pipeline:
            write_examples(pipeline, source, folders, shards)
        # What was read, not what lies there now: a file may be changed and put back meanwhile.
        counts = collect(source, shards, rejected.uri, run.parameters[FINGERPRINT_KEY])
        data = DataSource(path=str(path), fingerprint=counts.fingerprint)
        examples = run.output(EXAMPLES_KEY)
        describe_data(examples, data)
        examples.set_string_custom_property(MEDIA_KEY, json.dumps(counts.media))
        io_utils.write_pbtxt_file(
            str(run.output_folder(SCHEMA_KEY) / "schema.pbtxt"),
            implied_schema(source.features, source.labels),
        )
        summary = RowsSummary(train=counts.train, eval=counts.eval, rejected=counts.rejected)
        for name in LINEAGE_COUNTS:
            rejected.set_int_custom_property(name, getattr(summary, name))
        return summary
