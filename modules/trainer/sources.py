"""What each stage of training learns from: embeddings where that is exact, raw data elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modules.embedding.columns import read_contents
from modules.embedding.plan import EmbeddingPlan, StagePlan, distinct_plans
from modules.errors import RunError
from modules.fusion.build import FusedModel
from modules.preprocessing.graph import TransformGraph
from modules.spec import Specification
from modules.trainer.data import RawRows, Rows, evaluation_rows, training_rows
from modules.trainer.embedded import EmbeddedRows, new_head
from modules.trainer.train import StageData


class Sources:
    """Opens what a stage learns from when it is asked for; stages in a row share it."""

    def __init__(
        self,
        specification: Specification,
        fused: FusedModel,
        transform: TransformGraph,
        splits: Mapping[str, str],
        stages: Sequence[StagePlan],
        embeddings: Sequence[str],
    ) -> None:
        """
        Args:
            specification: what is trained.
            fused: the whole model, of real sub-models.
            transform: the Transform graph.
            splits: the folder of raw tf.Examples of `train` and `eval`.
            stages: what each stage learns from.
            embeddings: the folder of embedded rows of each distinct plan, in the stages' order.
        """
        self._specification, self._fused, self._transform = specification, fused, transform
        self._splits, self._stages = splits, stages
        plans = distinct_plans(list(stages))
        self._folders = list(zip(plans, embeddings, strict=True))
        self._open: tuple[EmbeddingPlan | None, StageData] | None = None

    def of_stage(self, position: int) -> StageData:
        """What the stage at a position learns from."""
        stage = self._stages[position]
        if self._open is None or self._open[0] != stage.plan:
            self._open = None  # first: two stages' embeddings need not fit in memory together
            self._open = stage.plan, self._data(stage.plan)
        return self._open[1]._replace(source=stage.why)

    def _data(self, plan: EmbeddingPlan | None) -> StageData:
        train: Rows
        evaluation: Rows
        if plan is None:
            model = self._fused.model
            train, evaluation = (
                RawRows(self._specification, self._transform, self._splits[split])
                for split in ("train", "eval")
            )
        else:
            folder = next(folder for known, folder in self._folders if known == plan)
            contents = read_contents(folder)
            if contents.plan != plan:
                raise RunError(f"{folder}: expected embeddings of another plan: run again")
            model = new_head(self._fused, contents)
            train, evaluation = (
                EmbeddedRows(contents, split, f"{folder}/Split-{split}")
                for split in ("train", "eval")
            )
        inputs = list(model.input)
        return StageData(
            model,
            training_rows(self._specification, train, inputs),
            evaluation_rows(self._specification, evaluation, inputs),
            "",
        )
