"""The names under which losses and metrics are logged after each epoch, and which way they improve.

The check of `early_stopping.monitor`, early stopping itself and a search's objective all ask here.
"""

from collections.abc import Iterator
from typing import Literal

from tfx_fusion.modules.metrics.table import larger_is_better
from tfx_fusion.modules.spec.specification import Fusion

Direction = Literal["min", "max"]


def direction_of(quantity: str) -> Direction:
    """Whether a loss or a metric, by its printed name, is better when smaller or larger."""
    return "max" if quantity != "loss" and larger_is_better(quantity) else "min"


def logged_as(specification: Fusion, output: str, quantity: str) -> str:
    """The name under which an output's `loss`, or a metric of it, is logged of the training rows.

    Keras puts the output's name before it where there are several outputs.
    """
    return f"{output}_{quantity}" if len(specification.outputs) > 1 else quantity


def logged(specification: Fusion) -> dict[str, Direction]:
    """Every name that is logged, of the rows to train on and, as `val_…`, to evaluate on."""
    return {
        f"{run}{name}": direction
        for name, direction in _logged(specification)
        for run in ("", "val_")
    }


def logged_twice(specification: Fusion) -> list[str]:
    """The names that two quantities would be logged under: one would hide the other."""
    names = [f"{run}{name}" for name, _ in _logged(specification) for run in ("", "val_")]
    return sorted({name for name in names if names.count(name) > 1})


def _logged(specification: Fusion) -> Iterator[tuple[str, Direction]]:
    yield "loss", "min"
    several = len(specification.outputs) > 1
    for name, output in specification.outputs.items():
        for quantity in (*(["loss"] if several else []), *dict.fromkeys(output.metrics)):
            yield logged_as(specification, name, quantity), direction_of(quantity)
