"""How a case trains, beyond its stages: drawn by a generator of its own.

Partial unfreezing, rates of a sub-model's own, training mode, early stopping on any metric, warm
starts, resuming after a kill, rows that go without a feature at random, random new layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from keras.src.utils.naming import to_snake_case

from tests.differential.case import Case, generator, source

# Of these the layers with weights are known by the description.
SIMPLE = (
    "LSTM",
    "GRU",
    "SimpleRNN",
    "Dense",
    "Conv1D",
    "Conv2D",
    "LayerNormalization",
    "Embedding",
)
WEIGHTED = (
    *SIMPLE, "Bidirectional", "TimeDistributed", "BatchNormalization", "DepthwiseConv2D",
    "SelfAttention", "Residual", "OwnA", "OwnB",
)  # fmt: skip
RANDOM = ("Dropout", "Noise", "RandomFlip")


def draw_more_training(case: Case) -> None:
    """Changes a drawn case that trains."""
    random = generator(case.seed, "training")
    for feature in case.features.values():
        if feature.get("missing") and random.random() < 0.5:
            feature["missing"]["drop"] = 0.4
    for output in case.outputs.values():
        if random.random() < 0.15:
            layers = case.nodes[source(output["from"])]["layers"]
            layers.insert(len(layers) - 1, {"Dropout": {"rate": 0.5, "seed": case.seed % 100}})
    stages = case.training["stages"]
    if len(stages) > 1 and stages[1]["unfreeze"]:
        _unfreeze(case, stages[1], random)
    for stage in stages:
        stage.pop("early_stopping", None)
    # Where numbers are rounded, an epoch may be the best by a hair: no value to go on from.
    if random.random() < 0.4 and not (is_half(case) and "full" in case.levels):
        several = len(case.outputs) > 1
        monitors = ["val_loss"] + [
            f"val_{name}_{metric}" if several else f"val_{metric}"
            for name, output in case.outputs.items()
            for metric in output["metrics"]
        ]
        monitor = monitors[int(random.integers(len(monitors)))]
        stages[0] |= {"epochs": 4, "early_stopping": {"monitor": monitor, "patience": 1}}
    epochs = sum(stage["epochs"] for stage in stages)
    if random.random() < 0.3:
        case.training["kill"] = int(random.integers(1, epochs + 1))
    if random.random() < 0.25:
        case.training["warm_start"] = "champion"


def has_weights(submodel: dict[str, Any]) -> bool:
    """Whether something on the way to a sub-model's first output can be trained."""
    chains = [*(entry["chain"] for entry in submodel["inputs"].values()), submodel["tail"]]
    layers = [layer for chain in chains for item in chain for layer in item]
    known = submodel["form"] in ("keras2", "module") or submodel["join"] == "attention"
    return known or any(layer in WEIGHTED for layer in layers)


def is_half(case: Case) -> bool:
    """Whether some part computes in half precision, or in whole numbers."""
    text = str(case.submodels) + case.training["precision"]
    return "16" in text or "'quantize': True" in text


def _unfreeze(case: Case, stage: dict[str, Any], random: np.random.Generator) -> None:
    [(name, wanted)] = stage["unfreeze"].items()
    found = case.submodels[name]
    if case.training["precision"] != "mixed_float16" and random.random() < 0.3:
        wanted["learning_rate"] = 0.07
    if found["form"] not in ("functional", "sequential") or found["structure"] != "single":
        return
    chains = [entry["chain"] for entry in found["inputs"].values()]
    layers = [layer for item in (*chains[0], *found["tail"]) for layer in item]
    if "BatchNormalization" in str(found) and not any(kind in str(found) for kind in RANDOM):
        if random.random() < 0.7:
            wanted["training_mode"] = True
        return
    weighted = [layer for layer in layers if layer in SIMPLE]
    if not weighted or random.random() < 0.1:
        return
    del wanted["all"]
    if len(chains) == 1 and random.random() < 0.5:
        wanted["last"] = int(random.integers(1, len(weighted) + 1))
    else:
        picked = weighted[int(random.integers(len(weighted)))]
        # As Keras names a layer by its class.
        wanted["layers"] = [to_snake_case(picked) + "*"]
