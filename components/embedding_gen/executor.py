"""EmbeddingGen's work."""

from functools import partial

from tfx.dsl.components.base import base_beam_executor

from tfx_fusion.components.base import Execution, StepExecutor
from tfx_fusion.components.binding import BINDING_KEY, Binding
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.embedding.write import collect, write_embeddings
from tfx_fusion.modules.report.summaries import EmbeddingsSummary

PLAN_KEY = "plan"
EXAMPLES_KEY = "examples"
TRANSFORM_KEY = "transform_graph"
EMBEDDINGS_KEY = "embeddings"


class Executor(StepExecutor, base_beam_executor.BaseBeamExecutor):
    """Embeds every split, then writes the contents page."""

    def execute(self, run: Execution) -> EmbeddingsSummary:
        plan = run.parameter(PLAN_KEY, EmbeddingPlan)
        bound = run.parameter(BINDING_KEY, Binding)
        submodels = run.submodels(plan.imported())
        # Made anew by each worker: a model cannot be sent to one.
        make = partial(
            Embedder, plan, submodels.interfaces, submodels.folders,
            run.transform_path(TRANSFORM_KEY), bound.names,
        )  # fmt: skip
        folder = str(run.output_folder(EMBEDDINGS_KEY))
        shards = f"{folder}/shards"

        targets = run.output_splits(EMBEDDINGS_KEY)
        with self._make_beam_pipeline() as pipeline:
            given = run.named_splits(EXAMPLES_KEY, bound.splits)
            write_embeddings(pipeline, make, given, targets, shards)
        contents = collect(plan, shards, folder, run.rejected_rows(EXAMPLES_KEY))
        return EmbeddingsSummary(
            rows=sum(contents.rows.values()),
            bytes_per_row=contents.bytes_per_row,
            rejected=sum(map(len, contents.rejected.values())),
        )
