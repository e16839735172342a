"""Training on embeddings and on raw data, compared. For tests of whatever both must agree on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.embedding.plan import StagePlan, plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.run import fuse_and_train


def train(
    specification: Specification, inputs: Any, folder: Path, embed: Callable[..., Any] | None
) -> tuple[TrainingRecord, list[StagePlan]]:
    """Trains on embeddings, or on raw data where `embed` is None, into a folder."""
    paths = {name: path for name, (_, path) in specification.imported().items()}
    for name, path in paths.items():
        copy_submodel(path, folder / "submodels" / name)
    inspections = {name: inspect_submodel(path) for name, path in paths.items()}
    interfaces = {name: found.interface for name, found in inspections.items()}
    stages = plan_stages(specification, build(specification, interfaces, open_interface))
    if embed is None:
        stages = [StagePlan(plan=None)] * len(stages)
    submodels = {name: folder / "submodels" / name for name in paths}
    history = fuse_and_train(
        specification,
        interfaces,
        submodels,
        {name: found.digest for name, found in inspections.items()},
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=stages,
        embeddings=[] if embed is None else embed(stages, interfaces, submodels, inputs, folder),
        model_path=folder / "model",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )
    return history, stages


def exported_weights(folder: Path) -> list[np.ndarray]:
    return [v.numpy() for v in tf.saved_model.load(str(folder / "model")).others]


def check_parity(
    specification: Specification, inputs: Any, folder: Path, embed: Callable[..., Any]
) -> tuple[TrainingRecord, list[StagePlan]]:
    """Trains both ways and compares every loss, metric and weight."""
    raw, _ = train(specification, inputs, folder / "raw", None)
    embedded, stages = train(specification, inputs, folder / "embedded", embed)
    for one, other in zip(raw.stages, embedded.stages, strict=True):
        assert len(one.epochs) == len(other.epochs)
        for epoch, again in zip(one.epochs, other.epochs, strict=True):
            assert again == pytest.approx(epoch, abs=1e-5)
    weights = exported_weights(folder / "raw")
    for one, other in zip(weights, exported_weights(folder / "embedded"), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-5)
    assert raw.frozen == embedded.frozen
    return embedded, stages
