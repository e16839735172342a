"""The mean that stands for a missing feature, over the rows to train on that have it."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.keras_compat import last_inputs
from tfx_fusion.modules.training.data import Epochs


def needs_means(fused: FusedModel) -> bool:
    """Whether a mean stands for some missing feature."""
    return any(layer.replace == "mean" for layer in fused.replacements.values())


def set_means(fused: FusedModel, model: keras.Model, rows: Epochs) -> None:
    """Sets every mean of a fused model, by one pass over the rows to train on.

    Args:
        fused: holds the layers that replace by a mean.
        model: the one that learns first, of the same layers: the whole, or the head.
        rows: what it learns from.
    """
    layers: list[Any] = [v for v in fused.replacements.values() if v.replace == "mean"]
    # A layer's last call is the one in this model: a head is made after the whole.
    taken = {layer.name: last_inputs(layer) for layer in layers}
    probe = keras.Model(model.input, taken)
    sums: dict[str, Any] = {layer.name: 0.0 for layer in layers}
    counts = dict.fromkeys(sums, 0)
    for features, *_ in rows.batches(0).take(rows.steps):
        for name, (value, absent) in probe(features, training=False).items():
            there = np.asarray(value, dtype=np.float64)[~np.asarray(absent)]
            sums[name] = sums[name] + there.sum(axis=0)
            counts[name] += len(there)
    for layer in layers:
        total = sums[layer.name] / max(counts[layer.name], 1)
        layer.vector.assign(np.broadcast_to(total, layer.vector.shape))
