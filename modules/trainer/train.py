"""Training: the stages of a specification, one after the other, on the fused model."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from modules.errors import RunError
from modules.freezing.proof import Digests, digests, frozen_tensors, prove
from modules.fusion.build import FusedModel
from modules.spec import Specification, Stage
from modules.trainer.losses import compile_arguments

progress = logging.getLogger("fusion.progress")


@dataclass
class TrainingHistory:
    """What training did: per stage its epochs, each with its losses and metrics."""

    stages: list[dict[str, Any]] = field(default_factory=list)
    frozen: Digests = field(default_factory=dict)


class _TellProgress(keras.callbacks.Callback):
    """Tells each epoch, and stops at a loss that is no number."""

    def __init__(self, stage: Stage) -> None:
        super().__init__()
        self._stage = stage

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = logs or {}
        loss = values.get("loss", float("nan"))
        progress.info("%s: epoch %d/%d, loss %.4f", self._stage.name, epoch + 1,
                      self._stage.epochs, loss)  # fmt: skip
        if loss != loss:
            raise RunError(
                f"training.stages.{self._stage.name}: the loss is not a number after epoch "
                f"{epoch + 1}: lower the learning_rate (now {self._stage.learning_rate:g})"
            )


def seed_everything(seed: int) -> None:
    """Makes a run repeat bit for bit: Python, NumPy and TensorFlow, and TensorFlow's own order."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def train(
    specification: Specification,
    fused: FusedModel,
    train_rows: tf.data.Dataset,
    eval_rows: tf.data.Dataset,
) -> TrainingHistory:
    """Trains the head through every stage; what is frozen is proven unchanged at the end.

    Raises RunError where a frozen tensor moved or the loss is not a number.
    """
    history = TrainingHistory(frozen=digests(frozen_tensors(fused.submodels)))
    for stage in specification.training.stages:
        started = time.monotonic()
        fused.model.compile(
            optimizer=keras.optimizers.Adam(stage.learning_rate), **compile_arguments(specification)
        )
        fitted = fused.model.fit(
            train_rows,
            validation_data=eval_rows,
            epochs=stage.epochs,
            verbose=0,
            callbacks=[_TellProgress(stage)],
        )
        epochs = [
            {name: float(values[epoch]) for name, values in fitted.history.items()}
            for epoch in range(stage.epochs)
        ]
        history.stages.append(
            {"name": stage.name, "seconds": time.monotonic() - started, "epochs": epochs}
        )
    prove(history.frozen, digests(frozen_tensors(fused.submodels)), "in training")
    return history
