"""EmbeddingGen's work."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tfx import types
from tfx.dsl.components.base import base_beam_executor
from tfx.types import artifact_utils

from tfx_fusion.components.submodel_channels import given_submodels
from tfx_fusion.modules.data.split import SPLITS
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.embedding.write import collect, write_embeddings

PLAN_KEY = "plan"
EXAMPLES_KEY = "examples"
TRANSFORM_KEY = "transform_graph"
EMBEDDINGS_KEY = "embeddings"


class Executor(base_beam_executor.BaseBeamExecutor):
    """Embeds every split, then writes the contents page."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        plan = EmbeddingPlan.model_validate_json(exec_properties[PLAN_KEY])
        examples = input_dict[EXAMPLES_KEY]
        transform_graph = artifact_utils.get_single_uri(input_dict[TRANSFORM_KEY])
        submodels = given_submodels(input_dict, plan.imported())
        embeddings = artifact_utils.get_single_instance(output_dict[EMBEDDINGS_KEY])

        embeddings.split_names = artifact_utils.encode_split_names(list(SPLITS))
        transform_path = str(Path(transform_graph, "transform_fn"))
        make = partial(Embedder, plan, submodels.interfaces, submodels.folders, transform_path)
        given = {split: artifact_utils.get_split_uri(examples, split) for split in SPLITS}
        wanted = {split: artifact_utils.get_split_uri([embeddings], split) for split in SPLITS}
        summaries = f"{embeddings.uri}/shards"
        with self._make_beam_pipeline() as pipeline:
            write_embeddings(pipeline, make, given, wanted, summaries)

        contents = collect(plan, summaries, embeddings.uri)
        embeddings.set_int_custom_property("rows", sum(contents.rows.values()))
        embeddings.set_int_custom_property("bytes_per_row", contents.bytes_per_row)
