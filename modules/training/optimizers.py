"""The optimizer of a stage: any of Keras's by name, with a separate rate for each sub-model."""

from collections.abc import Mapping
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, first_line, suggestion
from tfx_fusion.modules.spec import Stage


def _class_of(key: str, name: str, module: Any, base: type) -> Any:
    known = [
        name for name, value in vars(module).items()
        if isinstance(value, type) and issubclass(value, base) and value is not base
    ]  # fmt: skip
    if name not in known:
        raise SpecificationError(
            [f"{key}: Keras has none named '{name}'; {suggestion(name, known)}"]
        )
    return getattr(module, name)


def new_optimizer(
    key: str, stage: Stage, scales: Mapping[int, float]
) -> keras.optimizers.Optimizer:
    """The optimizer of a stage.

    Args:
        key: the stage's place in the specification, for messages.
        stage: names the optimizer, its config, the rate and the schedule.
        scales: by the identity of a variable, the factor of its learning rate.

    Raises SpecificationError where Keras has no such optimizer or schedule, or rejects its config.
    """
    try:
        rate: Any = stage.learning_rate
        if stage.schedule:
            [(name, config)] = stage.schedule.items()
            schedules = keras.optimizers.schedules
            schedule = _class_of(f"{key}.schedule", name, schedules, schedules.LearningRateSchedule)
            rate = schedule(initial_learning_rate=stage.learning_rate, **config)
        [(name, config)] = stage.optimizer.items()
        kind = _class_of(f"{key}.optimizer", name, keras.optimizers, keras.optimizers.Optimizer)
        if scales:
            kind = _scaled(kind, scales)
        return kind(learning_rate=rate, global_clipnorm=stage.clip_norm, **config)
    except (TypeError, ValueError) as error:
        raise SpecificationError([f"{key}: {first_line(error)}"]) from error


def _scaled(kind: Any, scales: Mapping[int, float]) -> Any:
    """The optimizer's class with steps scaled by variable.

    Scaling gradients instead would do nothing under Adam, which normalises them.
    """

    class Scaled(kind):
        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            # What arrives is TensorFlow's variable; the scales know Keras's.
            known = self._trainable_variables[self._get_variable_index(variable)]
            scale = scales.get(id(known), 1.0)
            super().update_step(gradient, variable, learning_rate * scale)

    Scaled.__name__ = kind.__name__
    return Scaled


class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, which leaves out every step whose gradients overflow.

    The gradient of an `Embedding` has a slice for each token. Of the slices of one token, Keras's
    own check sees the last one only: another that is NaN would make the embedding NaN.
    """

    def check_finite(self, grads: list[Any]) -> Any:
        """Whether all gradients, None left out, are finite: a boolean `()`."""
        return super().check_finite([getattr(gradient, "values", gradient) for gradient in grads])
