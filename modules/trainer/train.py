"""Training: the stages of a specification, one after the other, on the fused model."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras
import tensorflow as tf

from modules.errors import RunError
from modules.freezing.proof import Digests, digests, prove
from modules.freezing.unfreeze import chosen_layers
from modules.fusion.build import FusedModel
from modules.spec import Specification, Stage
from modules.submodels.interface import Interface
from modules.trainer.losses import compile_arguments
from modules.trainer.optimizers import new_optimizer

progress = logging.getLogger("fusion.progress")


@dataclass
class TrainingHistory:
    """What training did.

    `stages` holds per stage its epochs, each with its losses and metrics, and what it trained;
    `frozen` the digest of every tensor that no stage unfroze.
    """

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
    interfaces: Mapping[str, Interface],
    fused: FusedModel,
    train_rows: tf.data.Dataset,
    eval_rows: tf.data.Dataset,
) -> TrainingHistory:
    """Trains through every stage; what each leaves frozen is proven unchanged after it.

    Raises RunError where a frozen tensor moved or the loss is not a number.
    """
    history = TrainingHistory()
    always: dict[str, set[str]] = {}
    for position, stage in enumerate(specification.training.stages):
        unfrozen = _unfreeze(position, stage, interfaces, fused)
        before = digests(_frozen(fused))
        for name, tensors in before.items():
            always[name] = always.get(name, set(tensors)) & set(tensors)
        started = time.monotonic()
        epochs = _fit(specification, position, fused, train_rows, eval_rows)
        prove(before, digests(_frozen(fused)), f"in stage {stage.name}")
        history.stages.append(
            {
                "name": stage.name,
                "seconds": time.monotonic() - started,
                "unfrozen": unfrozen,
                "epochs": epochs,
            }
        )
    history.frozen = {
        name: {tensor: value for tensor, value in tensors.items() if tensor in always[name]}
        for name, tensors in before.items()
    }
    return history


def _frozen(fused: FusedModel) -> dict[str, dict[str, Any]]:
    return {
        name: {path: variable.value for path, variable in layer.frozen_variables().items()}
        for name, layer in fused.submodels.items()
    }


def _unfreeze(
    position: int, stage: Stage, interfaces: Mapping[str, Interface], fused: FusedModel
) -> dict[str, list[str]]:
    """Sets what of each sub-model the stage trains; all else is frozen again."""
    unfrozen = {}
    for name, layer in fused.submodels.items():
        wanted = stage.unfreeze.get(name)
        if wanted is None:
            layer.unfreeze(())
            continue
        key = f"training.stages.{position}.unfreeze.{name}"
        unfrozen[name] = chosen_layers(key, interfaces[name], fused.taps[name], wanted)
        layer.unfreeze(unfrozen[name], wanted.training_mode)
    return unfrozen


def _fit(
    specification: Specification,
    position: int,
    fused: FusedModel,
    train_rows: tf.data.Dataset,
    eval_rows: tf.data.Dataset,
) -> list[dict[str, float]]:
    """One stage; returns the losses and metrics of each epoch.

    Compiled anew for each stage: an optimizer keeps slots for the variables it began with.
    """
    stage = specification.training.stages[position]
    scales = {
        variable.path: wanted.learning_rate / stage.learning_rate
        for name, wanted in stage.unfreeze.items()
        if wanted.learning_rate is not None
        for variable in fused.submodels[name].trainable_variables
    }
    optimizer = new_optimizer(f"training.stages.{position}", stage, scales)
    fused.model.compile(optimizer=optimizer, **compile_arguments(specification))
    callbacks: list[keras.callbacks.Callback] = [_TellProgress(stage)]
    if stage.early_stopping:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                monitor=stage.early_stopping.monitor,
                patience=stage.early_stopping.patience,
                restore_best_weights=True,
            )
        )
    fitted = fused.model.fit(
        train_rows,
        validation_data=eval_rows,
        epochs=stage.epochs,
        verbose=0,
        callbacks=callbacks,
    )
    return [
        {name: float(values[epoch]) for name, values in fitted.history.items()}
        for epoch in range(len(fitted.epoch))
    ]
