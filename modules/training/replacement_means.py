"""What replaces a missing feature by its mean, taken from the rows to train on."""

from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.keras_compat import last_inputs
from tfx_fusion.modules.training.data import Epochs
from tfx_fusion.modules.training.unusable_rows import NotFiniteError


def set_replacement_means(fused: FusedModel, model: keras.Model, rows: Epochs) -> None:
    """Sets every mean that replaces a missing feature, by one pass over the rows to train on.

    Only rows that have the feature count. Raises NotFiniteError where a mean is not finite.

    Args:
        fused: holds the layers that replace by a mean.
        model: the one that learns first, of the same layers: the whole, or the head.
        rows: what it learns from.
    """
    layers: list[Any] = [v for v in fused.replacements.values() if v.replace == "mean"]
    # A layer's last call is the one in this model: a head is made after the whole.
    inputs = {layer.name: last_inputs(layer) for layer in layers}
    probe = keras.Model(model.input, inputs)
    sums: dict[str, Any] = {layer.name: 0.0 for layer in layers}
    counts = dict.fromkeys(sums, 0)
    for features, *_ in rows.batches(0).take(rows.steps):
        for name, (value, absent) in probe(features, training=False).items():
            present = np.asarray(value, dtype=np.float64)[~np.asarray(absent)]
            sums[name] = sums[name] + present.sum(axis=0)
            counts[name] += len(present)
    for layer in layers:
        total = sums[layer.name] / max(counts[layer.name], 1)
        if not np.isfinite(total).all():
            raise NotFiniteError(
                f"{layer.name}: the mean over the rows to train on, which replaces what is "
                "missing, is not a finite number: look for NaN or infinity before it"
            )
        layer.vector.assign(np.broadcast_to(total, layer.vector.shape))
