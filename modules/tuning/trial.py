"""One trial: a head trained on the embeddings, without the sub-models that computed them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import keras

from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.train import seed_everything, train


def embedded_stages(stages: Sequence[StagePlan]) -> int:
    """The number of stages that a trial trains: those before the first that needs a sub-model."""
    with_submodels = (n for n, stage in enumerate(stages) if stage.plan is None or stage.live)
    return next(with_submodels, len(stages))


def train_head(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    stages: Sequence[StagePlan],
    store: EmbeddedStore,
) -> dict[str, float]:
    """Trains the stages that learn from embeddings; returns the losses and metrics at their end.

    The head is built from the interfaces, without loading a sub-model: a trial costs what its head
    costs.
    """
    keras.backend.clear_session()
    seed_everything(specification.training.seed)
    stages = stages[: embedded_stages(stages)]
    training = specification.training.model_copy(
        update={"stages": specification.training.stages[: len(stages)]}
    )
    specification = specification.changed(training=training)
    with precision(training.precision):
        fused = build(specification, interfaces, open_interface)
    # No sub-model is there that could be unfrozen or move.
    sources = StageDataSource(
        specification, replace(fused, submodels={}), stages, store, _no_raw_rows
    )
    history = train(
        specification, interfaces, replace(fused, submodels={}), sources.of_stage, search=sources
    )
    return history.kept_epoch


def _no_raw_rows(split: str) -> RawRows:
    raise RunError("a trial trains on embeddings only")
