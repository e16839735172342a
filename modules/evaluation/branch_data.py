"""What a branch alone learns from: the embeddings of the whole fusion where they hold its own."""

from __future__ import annotations

from collections.abc import Sequence

from tfx_fusion.modules.embedding.columns import Contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan, distinct_plans
from tfx_fusion.modules.graph.topology import ancestors
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.embedded import EmbeddedRows
from tfx_fusion.modules.training.sources import EmbeddedStore


def comes_before(specification: Specification, plan: EmbeddingPlan, merge: str) -> bool:
    """Whether all embeddings of a plan are computed without a merge."""
    return merge not in ancestors(specification, plan.embeddings)


class BranchStore(EmbeddedStore):
    """The embedded rows of a whole fusion, opened by the plans of a branch alone."""

    def __init__(
        self, whole: EmbeddedStore, stages: Sequence[StagePlan], specification: Specification
    ) -> None:
        """
        Args:
            whole: the embedded rows.
            stages: what each stage of the whole fusion learns from.
            specification: the whole.
        """
        self._whole, self._specification = whole, specification
        self._known = distinct_plans(list(stages))

    def plans(self, stages: Sequence[StagePlan], merge: str) -> list[StagePlan]:
        """What each stage of a branch alone learns from, with it in place of a merge."""
        raw = "raw data: no embeddings hold what a branch alone needs"
        return [
            stage
            if stage.plan is None
            or (self._covering(stage.plan) and comes_before(self._specification, stage.plan, merge))
            else StagePlan(plan=None, why=raw)
            for stage in stages
        ]

    def _covering(self, plan: EmbeddingPlan) -> EmbeddingPlan | None:
        wanted = {*plan.embeddings, *plan.passed}
        known = (other for other in self._known if wanted <= {*other.embeddings, *other.passed})
        return next(known, None)

    def open(self, plan: EmbeddingPlan) -> tuple[Contents, dict[str, EmbeddedRows]]:
        covering = self._covering(plan)
        if covering is None:
            raise KeyError(plan.embeddings)
        contents, rows = self._whole.open(covering)
        return contents.model_copy(update={"plan": plan}), rows
