"""What training takes from the labels of the rows to train on: how a number is scaled."""

import logging
from functools import cache

import numpy as np

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.spec import Fusion, NumberLabel
from tfx_fusion.modules.training.data import Epochs

log = logging.getLogger("fusion.training")
# A label whose mean lies further from 0, in deviations, learns its mean first and for long.
FAR_MEAN = 3
LARGE_DEVIATION, SMALL_DEVIATION = 10, 0.1


def prepare_labels(specification: Fusion, fused: FusedModel, rows: Epochs) -> None:
    """Sets the units of each normalized label from the rows to train on.

    Logs a warning for a number that is not normalized and far from a mean of 0 and a deviation
    of 1. Raises RunError where Poisson's loss has labels below 0.
    """
    found: dict[str, np.ndarray] = {}
    for output, spec in specification.outputs.items():
        name, label = specification.label_name(output), specification.label_of(output)
        if not isinstance(label, NumberLabel):
            continue
        first = name not in found
        values = found[name] = rows.label_values(name) if first else found[name]
        if output in fused.units:
            shift, scale = scaling(label, values)
            fused.units[output].shift.assign(shift)
            fused.units[output].scale.assign(scale)
        if spec.loss.name == "poisson":
            if values.min() < 0:
                raise RunError(
                    f"outputs.{output}.loss: poisson needs labels of at least 0, found "
                    f"{values.min():g} in the rows to train on: take another loss"
                )
        elif first:
            _warn_if_far(name, label, values)


def scaling(label: NumberLabel, values: np.ndarray) -> tuple[float, float]:
    """What is taken from a label `(rows,)`, and what it is divided by then; 1 if it is constant."""
    values = values.astype(float)
    low, high = float(values.min()), float(values.max())
    if label.normalize == "min_max":
        shift, scale = low, high - low
    else:
        shift, scale = float(values.mean()), float(values.std())
    # By the limits, since the deviation of equal values may be off zero by rounding.
    return shift, scale if high > low else 1.0


def _warn_if_far(name: str, label: NumberLabel, values: np.ndarray) -> None:
    mean, deviation = float(values.mean(dtype=float)), float(values.std(dtype=float))
    if not values.max() > values.min():
        _warn(f"labels.{name}: all rows to train on have the value {mean:g}")
    elif label.normalize == "none" and (
        abs(mean) > FAR_MEAN * deviation or not SMALL_DEVIATION <= deviation <= LARGE_DEVIATION
    ):
        _warn(
            f"labels.{name}: the mean is {mean:.4g} and the standard deviation {deviation:.4g} in "
            "the rows to train on, far from 0 and 1, which learns slowly: write "
            "normalize: standard"
        )


@cache
def _warn(message: str) -> None:
    # Once: a search and an ablation train many heads on the same rows.
    log.warning(message)
