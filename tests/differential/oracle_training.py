"""Training by hand: a plain loop over batches, with the losses and metrics of every epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.differential.case import Case
from tests.differential.measures import loss_of, metric_of
from tests.differential.oracle import Oracle
from tests.differential.recorder import Recorder, recorder_of
from tests.differential.rows import Data

SMALLER_IS_BETTER = ("error", "loss")


def decided_by_log(
    case: Case, logs: Sequence[Sequence[Mapping[str, float]]]
) -> list[tuple[int, int]]:
    """How many epochs each stage has by its log, and the place of the one that it ends with."""
    found = []
    for stage, log in zip(case.training["stages"], logs, strict=True):
        wanted, best, epoch = stage.get("early_stopping"), 0, 0
        if wanted is None:
            found.append((stage["epochs"], stage["epochs"] - 1))
            continue
        values = [_signed(wanted["monitor"], epoch[wanted["monitor"]]) for epoch in log]
        for epoch, value in enumerate(values):
            best = epoch if value < values[best] else best
            if epoch - best >= wanted["patience"]:
                break
        found.append((epoch + 1, best))
    return found


def _signed(monitor: str, value: float) -> float:
    """A loss or metric as one of which less is better."""
    return value if any(part in monitor for part in SMALLER_IS_BETTER) else -value


class Trainer:
    """Trains an oracle on the rows of a case.

    Attributes:
        decided: of each stage the number of its epochs, and the place of the one that it ends with.
        diverged: the stage and the epoch, from 1, after which a loss was not finite.
    """

    def __init__(self, oracle: Oracle, data: Data) -> None:
        self.oracle, self.case, self.data = oracle, oracle.case, data
        self.decided: list[tuple[int, int]] = []
        self.diverged: tuple[str, int] | None = None

    def train(self, order: Iterable[Iterable[np.ndarray]]) -> list[dict[str, float]]:
        """Trains through every stage.

        Args:
            order: for each epoch of the training, its batches of row numbers.

        Returns the losses of the evaluation rows after each epoch, up to one that is not finite.
        """
        epochs, losses = iter(order), []
        self.decided, self.diverged = [], None
        for stage in self.case.training["stages"]:
            planned = [next(epochs) for _ in range(stage["epochs"])]
            steps = self._steps(stage, _optimizer)
            stopping = _Stopping(self, stage)
            for number, batches in enumerate(planned, 1):
                totals = [steps.apply(lambda rows=rows: self.loss(rows)) for rows in batches]
                losses.append(self.losses(self.data.eval))
                if not np.isfinite([*totals, losses[-1]["loss"]]).all():
                    self.diverged = (stage["name"], number)
                    return losses
                if stopping.after(losses[-1]):
                    break
            self.decided.append((number, stopping.restore(number - 1)))
        return losses

    def gradients(self, order: Sequence[Iterable[np.ndarray]]) -> dict[str, np.ndarray]:
        """The sum of the gradients over an epoch of each stage, without a step.

        Args:
            order: for each stage, its batches of row numbers.
        """
        named = {id(v): name for name, v in self.oracle.named().items()}
        found = {}
        for number, (stage, batches) in enumerate(
            zip(self.case.training["stages"], order, strict=False)
        ):
            steps = self._steps(stage, lambda *_: Recorder())
            for rows in batches:
                steps.apply(lambda rows=rows: self.loss(rows))
            for variable, total in steps.recorded():
                found[f"{number}/{named[id(variable)]}"] = total
        return found

    def _steps(
        self, stage: Mapping[str, Any], make: Callable[[Mapping[str, Any], float], Any]
    ) -> _Steps:
        head = self.oracle.new_variables()
        groups = [(stage["learning_rate"], head)]
        for name, file in self.oracle.files.items():
            wanted = stage.get("unfreeze", {}).get(name)
            file.training_mode = bool(wanted and wanted.get("training_mode"))
            if wanted and "learning_rate" in wanted:
                groups.append((wanted["learning_rate"], file.chosen(wanted)))
            elif wanted:
                head += file.chosen(wanted)
        scaled = self.case.training["precision"] == "mixed_float16"
        groups = [(make(stage, rate), variables) for rate, variables in groups]
        if scaled:
            # As Keras compiles a model of mixed_float16: a step that overflows is left out.
            groups = [(keras.optimizers.LossScaleOptimizer(made), found) for made, found in groups]
        return _Steps(groups)

    def loss(self, rows: np.ndarray) -> Any:
        """The weighted sum of all outputs' losses over a batch, in training."""
        data = self.data
        predictions = self.oracle(self.oracle.feed(data, rows), training=True)
        total = 0.0
        for name, output in self.case.outputs.items():
            labels = data.labels[name]
            weights = np.ones(len(labels), "float32")
            given = output.get("class_weights")
            if given == "balanced":
                counts = np.bincount(labels[data.train], minlength=len(output["label"]["classes"]))
                weights = (len(data.train) / (len(counts) * counts))[labels]
            elif given:
                weights = np.array([given.get(c, 1.0) for c in output["label"]["classes"]])[labels]
            weights = weights * data.weights.get(name, np.ones(len(labels)))
            each = self._loss_of(name, labels[rows], predictions[name])
            weighted = each * tf.constant(weights[rows], tf.float32)
            total += output.get("weight", 1.0) * tf.reduce_mean(weighted)
        return total

    def losses(self, rows: np.ndarray) -> dict[str, float]:
        """Every output's loss over rows, and the weighted sum of them."""
        predictions = self.oracle(self.oracle.feed(self.data, rows))
        found = {
            f"{name}_loss": float(
                np.mean(self._loss_of(name, self.data.labels[name][rows], predictions[name]))
            )
            for name in self.case.outputs
        }
        found["loss"] = sum(
            output.get("weight", 1.0) * found[f"{name}_loss"]
            for name, output in self.case.outputs.items()
        )
        return found

    def _loss_of(self, name: str, values: np.ndarray, predictions: Any) -> Any:
        shift, scale = self.oracle.units.get(name, (0.0, 1.0))
        if (shift, scale) != (0.0, 1.0):
            values, predictions = (values - shift) / scale, (predictions - shift) / scale
        return loss_of(self.case.outputs[name], tf.constant(values), predictions)

    def metrics(self, rows: np.ndarray) -> dict[str, float]:
        """Every output's metrics over rows, by NumPy."""
        predictions = self.oracle(self.oracle.feed(self.data, rows))
        return {
            f"{name}_{metric}": metric_of(
                output, metric, self.data.labels[name][rows], predictions[name].numpy()
            )
            for name, output in self.case.outputs.items()
            for metric in output["metrics"]
        }


def _optimizer(stage: Mapping[str, Any], rate: float) -> Any:
    [(kind, config)] = stage["optimizer"].items()
    optimizer = getattr(keras.optimizers, kind)
    return optimizer(learning_rate=rate, global_clipnorm=stage.get("clip_norm"), **config)


class _Steps:
    """Steps of a stage; the variables of each learning rate have an optimizer of their own."""

    def __init__(self, groups: list[tuple[Any, list[Any]]]) -> None:
        # Keras's optimizers step its own variables.
        self._groups = [
            (optimizer, tensors, [keras.Variable(v.numpy()) for v in tensors])
            for optimizer, tensors in groups
            if tensors
        ]

    def apply(self, loss: Any) -> float:
        """One step down the loss that a function returns; its value."""
        every = [tensor for _, tensors, _ in self._groups for tensor in tensors]
        with tf.GradientTape() as tape:
            value = loss()
            total = self._groups[0][0].scale_loss(value)
        gradients = map(_sparse, tape.gradient(total, every))
        for optimizer, tensors, variables in self._groups:
            optimizer.apply([next(gradients) for _ in tensors], variables)
            for mine, stepped in zip(tensors, variables, strict=True):
                mine.assign(stepped.numpy())
        return float(value)

    def recorded(self) -> Iterator[tuple[Any, np.ndarray]]:
        """What recorders added up, by variable."""
        for optimizer, tensors, _ in self._groups:
            yield from zip(tensors, recorder_of(optimizer).totals(), strict=True)


def _sparse(gradient: Any) -> Any:
    """A gradient; one that has slices is NaN where any of them is, as loss scaling has to see it.

    Those of an Embedding stay sparse, of which Keras's Adam squares each slice.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    finite = tf.reduce_all(tf.math.is_finite(gradient.values))
    values = tf.where(finite, gradient.values, np.nan)
    return tf.IndexedSlices(values, gradient.indices, gradient.dense_shape)


class _Stopping:
    """Early stopping, where a stage has it: the best epoch's values stay."""

    def __init__(self, trainer: Trainer, stage: Mapping[str, Any]) -> None:
        self._trainer, self._wanted = trainer, stage.get("early_stopping")
        self._best, self._values, self._wait = np.inf, [], 0
        self._epoch = self._best_epoch = -1

    def after(self, losses: Mapping[str, float]) -> bool:
        """Whether an epoch was the last."""
        if not self._wanted:
            return False
        self._epoch += 1
        measured = losses | self._trainer.metrics(self._trainer.data.eval)
        if len(self._trainer.case.outputs) == 1:
            [name] = self._trainer.case.outputs
            measured = {key.removeprefix(f"{name}_"): value for key, value in measured.items()}
        monitor = self._wanted["monitor"].removeprefix("val_")
        value = _signed(monitor, measured[monitor])
        if value < self._best:
            values = [v.numpy() for v in self._trainer.oracle.variables()]
            self._best, self._values, self._wait = value, values, 0
            self._best_epoch = self._epoch
        else:
            self._wait += 1
        return self._wait >= self._wanted["patience"]

    def restore(self, last: int) -> int:
        """Sets the values of the best epoch; its place, the last where nothing stops early."""
        if not self._wanted:
            return last
        for variable, value in zip(self._trainer.oracle.variables(), self._values, strict=True):
            variable.assign(value)
        return self._best_epoch
