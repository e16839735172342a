"""Labels of forty rows, of each kind, and predictions of them."""

from __future__ import annotations

import numpy as np

from tfx_fusion.modules.metrics.table import METRICS

CLASSES = 4
RANDOM = np.random.default_rng(9)
INDICES = RANDOM.integers(CLASSES, size=40)
ONE_HOT = np.eye(CLASSES, dtype="float32")[INDICES]
PROBABILITIES = RANDOM.dirichlet(np.ones(CLASSES), size=40).astype("float32")

YES_NO = RANDOM.integers(2, size=40)
CHANCES = RANDOM.uniform(0.01, 0.99, size=(40, 1)).astype("float32")

SEVERAL = RANDOM.integers(2, size=(40, CLASSES)).astype("float32")
SEVERAL[:5] = 0  # rows without any class
ALONE = RANDOM.uniform(0.01, 0.99, size=(40, CLASSES)).astype("float32")

NUMBERS = RANDOM.normal(size=(40, 1)).astype("float32")
GUESSES = RANDOM.normal(size=(40, 1)).astype("float32")

# Every metric, with a value where it needs one.
WRITTEN = [
    f"{name}@0.8" if known.parameter and known.parameter.default is None else name
    for name, known in METRICS.items()
]
