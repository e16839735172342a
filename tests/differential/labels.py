"""Further losses, metrics, row weights and units of labels, drawn and written.

They are drawn by a generator of their own, which leaves the rest of a seed's case as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LOSSES: dict[str, list[tuple[str, dict[str, float]]]] = {
    "category": [
        ("categorical_crossentropy", {"label_smoothing": 0.1}),
        ("categorical_focal_crossentropy", {"gamma": 1.5}),
        ("cosine_similarity", {}),
    ],
    "binary": [
        ("binary_crossentropy", {"label_smoothing": 0.1}),
        ("binary_focal_crossentropy", {"alpha": 0.3}),
        ("hinge", {}),
    ],
    "multi_label": [
        ("binary_crossentropy", {"label_smoothing": 0.1}),
        ("binary_focal_crossentropy", {}),
        ("hinge", {}),
        ("cosine_similarity", {}),
    ],
    "number": [("quantile", {"quantile": 0.8}), ("huber", {"delta": 0.5}), ("poisson", {})],
}
METRICS = {
    "category": ["macro_f1", "balanced_accuracy", "log_loss"],
    "binary": ["f1@0.3", "balanced_accuracy", "log_loss", "precision@0.3"],
    "multi_label": ["f1@0.3", "macro_recall", "log_loss"],
    "number": ["r2", "quantile_loss@0.8"],
}
BINARY = ("binary_crossentropy", "binary_focal_crossentropy", "hinge")


def kind_of(output: Mapping[str, Any]) -> str:
    """What is predicted: category, binary, multi_label or number."""
    label = output["label"]["type"]
    return "binary" if label == "category" and output["loss"] in BINARY else label


def draw_more(output: dict[str, Any], random: np.random.Generator) -> None:
    """Changes a drawn output: a rarer loss, more metrics, row weights, a normalized label."""
    kind = kind_of(output)
    if random.random() < 0.35:
        known = LOSSES[kind]
        output["loss"], options = known[int(random.integers(len(known)))]
        if options:
            output["loss_options"] = options
    output["metrics"] += [metric for metric in METRICS[kind] if random.random() < 0.4]
    if random.random() < 0.3:
        output["row_weights"] = True
    if kind == "number" and output["loss"] != "poisson" and random.random() < 0.5:
        normalize = "standard" if random.random() < 0.7 else "min_max"
        output["label"] |= {"normalize": normalize}
        # The square of the large ones is infinity in float32.
        size = 1e29 if random.random() < 0.15 else 1.0
        output["mean"], output["deviation"] = 13.0 * size, 3.0 * size


def written(name: str, output: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """An output and its label as a specification has them."""
    own = ("label", "loss_options", "row_weights", "mean", "deviation")
    found = {key: value for key, value in output.items() if key not in own}
    if "loss_options" in output:
        found["loss"] = {output["loss"]: output["loss_options"]}
    label = {**output["label"], "column": f"label_{name}"}
    if "row_weights" in output:
        label["row_weights"] = f"weights_{name}"
    return found, label


def units_of(output: Mapping[str, Any], labels: np.ndarray) -> tuple[float, float]:
    """What a label's numbers are scaled by, from those to train on."""
    values = labels.astype(np.float64)
    normalize = output["label"].get("normalize")
    if normalize == "standard":
        return float(values.mean()), float(values.std())
    if normalize == "min_max":
        return float(values.min()), float(values.max() - values.min())
    return 0.0, 1.0
