"""Small fusions without sub-models, trained on rows in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from specs import specification_of

from tfx_fusion.modules.embedding.plan import LearnsFrom
from tfx_fusion.modules.graph.build import FusedModel, build, open_interface
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import evaluation_rows, training_rows
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.stage_data import StageData
from tfx_fusion.modules.training.train import seed_everything, train


class MemoryRows:
    """Rows in memory, as training takes them."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.arrays = dict(arrays)

    def tensors(self, numbers: Any) -> dict[str, Any]:
        return {name: tf.gather(values, numbers) for name, values in self.arrays.items()}

    def count(self) -> int:
        return len(next(iter(self.arrays.values())))

    def class_indices(self, label: str) -> np.ndarray:
        return self.arrays[label]

    def label_values(self, label: str) -> np.ndarray:
        return self.arrays[label].reshape(-1)


def specify(
    outputs: Mapping[str, Mapping[str, Any]],
    labels: Mapping[str, Mapping[str, Any]],
    units: Mapping[str, int] | None = None,
    **training: Any,
) -> Specification:
    """Outputs that each predict by one Dense layer from a vector `x` of three numbers."""
    units = units or {}
    return specification_of(
        features={"x": {"type": "raw", "column": "x", "dtype": "float32", "shape": [3]}},
        labels={name: {"column": name, **label} for name, label in labels.items()},
        graph={
            f"of_{name}": {"layers": [{"Dense": {"units": units.get(name, 1)}}], "inputs": "x"}
            for name in outputs
        },
        outputs={name: {"from": f"of_{name}", **output} for name, output in outputs.items()},
        training=training,
    )


def new_model(specification: Specification) -> FusedModel:
    """The fused model with first weights by the seed."""
    keras.backend.clear_session()
    seed_everything(specification.training.seed)
    with precision(specification.training.precision):
        return build(specification, {}, open_interface)


def train_in_memory(
    specification: Specification,
    fused: FusedModel,
    splits: Mapping[str, Mapping[str, np.ndarray]],
    checkpoint: Checkpoint | None = None,
    model: keras.Model | None = None,
) -> TrainingRecord:
    """Trains a model, all of it unless a part is given, on the splits `train` and `eval`."""
    model = model or fused.model
    data = StageData(
        model,
        training_rows(specification, MemoryRows(splits["train"]), list(model.input)),
        evaluation_rows(specification, MemoryRows(splits["eval"]), list(model.input)),
        LearnsFrom(source="rows", description="rows in memory"),
    )
    return train(specification, {}, fused, lambda _: data, checkpoint)
