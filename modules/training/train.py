"""Training: the stages of a specification, one after the other, on the fused model."""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Specification, Stage, logged
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.training.checkpoint import (
    Checkpoint,
    ResumableEarlyStopping,
    State,
    assign,
    storable,
    values,
)
from tfx_fusion.modules.training.frozen_proof import (
    Digests,
    digests,
    frozen_parts,
    verify_unchanged,
)
from tfx_fusion.modules.training.labels import prepare_labels
from tfx_fusion.modules.training.losses import ExactLogs, compile_arguments
from tfx_fusion.modules.training.optimizers import LossScale, new_optimizer
from tfx_fusion.modules.training.record import StageRecord, TrainingRecord
from tfx_fusion.modules.training.replacement_means import set_replacement_means
from tfx_fusion.modules.training.stage_data import StageData
from tfx_fusion.modules.training.unusable_rows import NotFiniteError, Search, UnusableRow
from tfx_fusion.modules.training.warm_start import Champion

progress = logging.getLogger("fusion.progress")


def seed_everything(seed: int) -> None:
    """Makes a run repeat bit for bit: Python, NumPy and TensorFlow, and TensorFlow's own order."""
    keras.utils.set_random_seed(seed)
    # With a global seed of 0, tf.data would compare an epoch's seed, a tensor, with 0 and fail.
    tf.random.set_seed(seed + 1)
    tf.config.experimental.enable_op_determinism()


def train(
    specification: Specification,
    interfaces: Mapping[str, Interface],
    fused: FusedModel,
    data_of: Callable[[int], StageData],
    checkpoint: Checkpoint | None = None,
    champion: Champion | None = None,
    search: Search | None = None,
) -> TrainingRecord:
    """Trains through every stage, and verifies after each that what it leaves frozen is unchanged.

    `data_of` returns the data of a stage by its position, and is called when the stage starts. With
    a champion, training begins with its values. With a checkpoint, training that was killed resumes
    after its last whole epoch.

    Where a loss or metric is not finite, and `search` finds rows that cause it, training starts
    over without these, as if they had never been there: so data without such rows cost nothing.

    Raises RunError where a frozen tensor changed or a loss is not finite.
    """
    return _Training(specification, interfaces, fused, data_of, checkpoint, champion, search).run()


@dataclass
class _Training:
    specification: Specification
    interfaces: Mapping[str, Interface]
    fused: FusedModel
    data_of: Callable[[int], StageData]
    checkpoint: Checkpoint | None
    champion: Champion | None
    search: Search | None

    def run(self) -> TrainingRecord:
        stages = self.specification.training.stages
        # A tensor that some stage unfreezes is no longer the imported one when later stages start.
        frozen = []
        for position in range(len(stages)):
            self._unfreeze(position)
            frozen.append(_paths(self.fused))
        always = {name: set.intersection(*(paths[name] for paths in frozen)) for name in frozen[0]}
        original = _only(always, digests(_frozen(self.fused)))
        self.moving = self._moving(always)
        warm_start = self.champion.start(self.fused, original) if self.champion else None
        first = values(self.moving)
        # A checkpoint holds later values: it comes after the warm start.
        state = self.checkpoint.load() if self.checkpoint else None
        if state and self.search:
            self.search.unusable[:] = [UnusableRow(*row) for row in state.unusable]
        while True:
            try:
                done = self._stages(state)
                break
            except NotFiniteError as error:
                if not self._find_unusable(first):
                    raise RunError(*error.args) from None
                assign(self.moving, first)
                state = None
        after = _only(always, digests(_frozen(self.fused)))
        verify_unchanged(original, after, "in training")
        return TrainingRecord(
            stages=tuple(done),
            frozen=original,
            proof=frozen_parts(_frozen(self.fused), original, after),
            warm_start=warm_start,
        )

    def _stages(self, state: State | None) -> list[StageRecord]:
        """All stages, from their beginning or from a state."""
        stages = self.specification.training.stages
        done: list[StageRecord] = []
        if state:
            done = [StageRecord.model_validate(stage) for stage in state.stages]
            assign(self.moving, state.variables)
            progress.info("resuming after epoch %d of %s", state.epoch, stages[state.stage].name)
        else:
            self._prepare_labels()
            if any(v.replace == "mean" for v in self.fused.replacements.values()):
                data = self.data_of(0)
                set_replacement_means(self.fused, data.model, data.train)
        for position in range(state.stage if state else 0, len(stages)):
            done.append(self._stage(position, done, state))
            state = None
        return done

    def _prepare_labels(self) -> None:
        if any(label.type == "number" for label in self.specification.labels.values()):
            prepare_labels(self.specification, self.fused, self.data_of(0).train)

    def _find_unusable(self, first: Sequence[np.ndarray]) -> int:
        """Looks for unusable rows with the values that training began with, else with those now.

        Once a row to train on has made the weights NaN, with those now all rows look like it.
        """
        if self.search is None:
            return 0
        now = values(self.moving)
        assign(self.moving, first)
        self._prepare_labels()
        found = self.search.find_unusable()
        if not found and all(np.isfinite(storable(value)).all() for value in now):
            assign(self.moving, now)
            try:
                found = self.search.find_unusable()
            except RejectedRowsError:
                return 0  # no fault of theirs: training has diverged
        return found

    def _unfreeze(self, position: int) -> None:
        """Sets what of each sub-model the stage trains; all else is frozen again."""
        unfreeze, chosen = (
            self.specification.training.stages[position].unfreeze,
            self._chosen(position),
        )
        for name, layer in self.fused.submodels.items():
            training_mode = name in unfreeze and unfreeze[name].training_mode
            layer.unfreeze(chosen.get(name, ()), training_mode)

    def _chosen(self, position: int) -> dict[str, list[str]]:
        return {
            name: chosen_layers(
                f"training.stages.{position}.unfreeze.{name}",
                self.interfaces[name],
                self.fused.taps[name],
                wanted,
            )
            for name, wanted in self.specification.training.stages[position].unfreeze.items()
        }

    def _moving(self, always: Mapping[str, set[str]]) -> list[keras.Variable]:
        """Every variable that some stage may change: all but what stays frozen throughout."""
        frozen = {
            id(variable)
            for name, layer in self.fused.submodels.items()
            for path, variable in layer.frozen_variables().items()
            if path in always[name]
        }
        return [v for v in self.fused.model.variables if id(v) not in frozen]

    def _stage(self, position: int, earlier: list[StageRecord], state: State | None) -> StageRecord:
        stage = self.specification.training.stages[position]
        self._unfreeze(position)
        before = digests(_frozen(self.fused))
        started = time.monotonic()
        data = self.data_of(position)
        self.model = data.model
        progress.info("%s: on %s", stage.name, data.learns_from.description)
        epochs, kept = self._fit(position, data, earlier, state)
        verify_unchanged(before, digests(_frozen(self.fused)), f"in stage {stage.name}")
        return StageRecord(
            name=stage.name,
            seconds=time.monotonic() - started,
            unfrozen=self._chosen(position),
            learns_from=data.learns_from,
            epochs=epochs,
            kept=kept,
        )

    def _fit(
        self,
        position: int,
        data: StageData,
        earlier: list[StageRecord],
        state: State | None,
    ) -> tuple[list[dict[str, float]], int]:
        """One stage; returns the losses and metrics of each epoch, and the place of the kept one.

        Compiled anew for each stage: an optimizer keeps slots for the variables it began with.
        """
        model, stages = data.model, self.specification.training.stages
        stage = stages[position]
        optimizer = new_optimizer(f"training.stages.{position}", stage, self._scales(stage))
        if self.specification.training.precision == "mixed_float16":
            # Keras does so by the policy of the model, and a head is not made under its layers'.
            optimizer = LossScale(optimizer)
        model.compile(
            optimizer=optimizer,
            auto_scale_loss=False,
            steps_per_execution=data.steps_per_execution,
            **compile_arguments(self.specification, self.fused.units),
        )
        optimizer.build(model.trainable_variables)
        stopping = None
        if stage.early_stopping:
            monitor = stage.early_stopping.monitor
            stopping = ResumableEarlyStopping(
                monitor, stage.early_stopping.patience, logged(self.specification)[monitor]
            )
        done = state.epoch if state else 0
        if state:
            assign(optimizer.variables, state.optimizer)
            if stopping:
                stopping.resume(state.stopping, self._all_weights(state.best_weights))
        after_epoch = _AfterEpoch(self, position, earlier, state, stopping)
        # What came before, as planned, whether or not an earlier stage stopped early.
        first = sum(stage.epochs for stage in stages[:position]) + done
        callbacks = [ExactLogs(), *([stopping] if stopping else []), after_epoch]
        waited_enough = stopping and state and state.stopping["wait"] >= stopping.patience
        if not waited_enough:
            model.fit(
                data.train.batches(first),
                steps_per_epoch=data.train.steps,
                validation_data=data.eval,
                initial_epoch=done,
                epochs=stage.epochs,
                verbose=0,
                callbacks=callbacks,
            )
        elif stopping:
            model.set_weights(self._all_weights(state.best_weights if state else []))
            stopping.best_epoch = state.stopping["best_epoch"] if state else 0
        kept = stopping.best_epoch if stopping else len(after_epoch.epochs) - 1
        return after_epoch.epochs, kept

    def _scales(self, stage: Stage) -> dict[int, float]:
        """By how much a variable's steps differ from the stage's, by the variable's identity.

        Not by its path: two sub-models may have layers of one name.
        """
        return {
            id(variable): wanted.learning_rate / stage.learning_rate
            for name, wanted in stage.unfreeze.items()
            if wanted.learning_rate is not None
            for variable in self.fused.submodels[name].trainable_variables
        }

    def _all_weights(self, moving: list[Any]) -> list[Any]:
        """The stage's model's weights in Keras's order, with those given for the ones that move."""
        given = {
            id(v): value
            for v, value in zip(self._moving_weights(), moving, strict=False)
        }  # fmt: skip
        weights = self.model.weights
        return [given.get(id(v), keras.ops.convert_to_numpy(v)) for v in weights]

    def _moving_weights(self) -> list[keras.Variable]:
        moving = {id(variable) for variable in self.moving}
        return [v for v in self.model.weights if id(v) in moving]

    def save(
        self,
        position: int,
        earlier: list[StageRecord],
        epochs: list[dict[str, float]],
        stopping: ResumableEarlyStopping | None,
    ) -> None:
        """Saves the state after an epoch, where there is a checkpoint."""
        if self.checkpoint is None:
            return
        best: list[Any] = []
        if stopping and stopping.best_weights is not None:
            moving = {id(variable) for variable in self.moving}
            pairs = zip(self.model.weights, stopping.best_weights, strict=True)
            best = [value for variable, value in pairs if id(variable) in moving]
        self.checkpoint.save(
            State(
                stage=position,
                epoch=len(epochs),
                stages=[stage.model_dump(mode="json") for stage in earlier],
                epochs=epochs,
                variables=values(self.moving),
                optimizer=values(self.model.optimizer.variables),
                stopping=stopping.state() if stopping else {},
                best_weights=best,
                unusable=list(self.search.unusable) if self.search else [],
            )
        )


class _AfterEpoch(keras.callbacks.Callback):
    """Logs and records each epoch, and raises at a loss or metric that is not finite."""

    def __init__(
        self,
        training: _Training,
        position: int,
        earlier: list[StageRecord],
        state: State | None,
        stopping: ResumableEarlyStopping | None,
    ) -> None:
        super().__init__()
        self._training = training
        self._position = position
        self._stage = training.specification.training.stages[position]
        self._earlier = earlier
        self._stopping = stopping
        self.epochs: list[dict[str, float]] = list(state.epochs) if state else []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        logged = {name: float(value) for name, value in (logs or {}).items()}
        progress.info("%s: epoch %d/%d, loss %.4f", self._stage.name, epoch + 1,
                      self._stage.epochs, logged["loss"])  # fmt: skip
        infinite = [name for name, value in logged.items() if not math.isfinite(value)]
        if infinite:
            raise NotFiniteError(
                f"training.stages.{self._position}: in stage '{self._stage.name}' the "
                f"{infinite[0]} is not a finite number after epoch {epoch + 1}: "
                f"lower the learning_rate (now {self._stage.learning_rate:g}), or set clip_norm"
            )
        self.epochs.append(logged)
        self._training.save(self._position, self._earlier, self.epochs, self._stopping)


def _frozen(fused: FusedModel) -> dict[str, dict[str, Any]]:
    return {
        name: {path: variable.value for path, variable in layer.frozen_variables().items()}
        for name, layer in fused.submodels.items()
    }


def _paths(fused: FusedModel) -> dict[str, set[str]]:
    return {name: set(layer.frozen_variables()) for name, layer in fused.submodels.items()}


def _only(paths: Mapping[str, set[str]], found: Digests) -> Digests:
    return {
        name: {path: value for path, value in tensors.items() if path in paths[name]}
        for name, tensors in found.items()
    }
