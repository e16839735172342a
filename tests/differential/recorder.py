"""An optimizer that adds gradients up and leaves the weights as they are."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np


class Recorder(keras.optimizers.SGD):
    """Adds up the gradients of each variable."""

    def __init__(self) -> None:
        super().__init__(learning_rate=1.0, name="recorder")

    def build(self, variables: list[Any]) -> None:
        if not self.built:
            super().build(variables)
            self.sums = [self.add_variable_from_reference(v, name="sum") for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        self.assign_add(self.sums[self._get_variable_index(variable)], gradient)

    def totals(self) -> list[np.ndarray]:
        """The sum of each variable, in the order of `variables`."""
        return [np.asarray(total) for total in self.sums]


def recorder_of(optimizer: Any) -> Recorder:
    """The recorder, within loss scaling too."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def name_by_value(submodel: str, variable: Any) -> str:
    """A name of a sub-model's variable that does not depend on the order in which it has them."""
    values = np.asarray(variable)
    return f"{submodel}/{values.shape}/{hash(values.tobytes())}"
