"""The rows of a case, by NumPy: their values as the model takes them, and in a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tests.differential.case import FLOAT, WHOLE, WORDS, Case, generator

PADDING, UNKNOWN = "", "[UNK]"
# How a token stands in a text: with characters that are left out. Some are in capitals.
WRITTEN = ("{}", "{}!", "({})", "-{}", "{}'")


@dataclass
class Data:
    """Rows as the model takes them.

    Attributes:
        features: `{name: (rows, …)}`, padded.
        lengths: the number of steps `(rows,)` of each variable sequence.
        absent: 1 or 0 `(rows,)` for each feature that may be missing.
        labels: `{label: (rows, …)}`, classes as whole numbers.
        train, eval: row numbers.
        weights: how much each row counts `(rows,)` for a label, where it is not 1.
        raw: `{name: (rows, …)}` of features that the product makes values of: texts, numbers.
    """

    features: dict[str, np.ndarray]
    lengths: dict[str, np.ndarray]
    absent: dict[str, np.ndarray]
    labels: dict[str, np.ndarray]
    train: np.ndarray
    eval: np.ndarray
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)


def draw_data(case: Case) -> Data:
    """The rows of a case."""
    rows = case.training["rows"]
    data = Data({}, {}, {}, {}, np.arange(rows * 2 // 3), np.arange(rows * 2 // 3, rows))
    for name, feature in case.features.items():
        random, shape = generator(case.seed, name), tuple(feature["shape"])
        kind = feature["kind"]
        if kind == "ids":
            values = random.integers(1, 7, (rows, *shape))
            lengths = random.integers(1, shape[0] + 1, rows)
            values[np.arange(shape[0]) >= lengths[:, None]] = 0
        elif kind == "words":
            values = np.array(WORDS, dtype=object)[random.integers(0, 3, (rows, *shape))]
        elif kind == "text":
            values, data.raw[name] = text_rows(feature, rows, random)
        elif kind == "number":
            data.raw[name] = raw_numbers(feature, rows, random)
            values = scaled_numbers(feature, data.raw[name], data.train)
        elif kind == "image":
            values = random.integers(0, 256, (rows, *shape)).astype(FLOAT) / 255
        else:
            values = random.normal(size=(rows, *shape)).astype(FLOAT)
        if kind == "variable":
            lengths = random.integers(1, shape[0] + 1, rows)
            if feature.get("zero_step"):
                values[:, 0] = 0
            values[np.arange(shape[0]) >= lengths[:, None]] = 0
            data.lengths[name] = lengths
        if feature.get("missing"):
            absent = random.random(rows) < 0.3
            values[absent] = "" if kind == "words" else 0
            data.absent[name] = absent.astype(WHOLE)
            if name in data.lengths:
                data.lengths[name] = np.where(absent, 0, data.lengths[name])
        data.features[name] = values
    for name, output in case.outputs.items():
        random, label = generator(case.seed, "label", name), output["label"]
        if label["type"] == "number":
            values = random.normal(size=(rows, 1)) * output.get("deviation", 1.0)
            if output["loss"] == "poisson":
                values = np.abs(values)
            data.labels[name] = (values + output.get("mean", 0.0)).astype(FLOAT)
        elif label["type"] == "category":
            classes = len(label["classes"])
            data.labels[name] = np.r_[np.arange(classes), random.integers(0, classes, rows)][:rows]
        else:
            data.labels[name] = random.integers(0, 2, (rows, len(label["classes"])))
        if output.get("row_weights"):
            random = generator(case.seed, "weights", name)
            data.weights[name] = random.integers(0, 4, rows).astype(FLOAT) / 2
    return data


def text_rows(feature: Mapping[str, Any], rows: int, random: Any) -> tuple[np.ndarray, list[str]]:
    """The values `(rows, …)` of a text, and the texts of the rows."""
    known = feature["vocabulary"]
    words = [word for word in known if word not in (PADDING, UNKNOWN)]
    [size] = feature["shape"]
    ids = np.zeros((rows, size), WHOLE)
    hot = np.zeros((rows, len(known)), FLOAT)
    texts = []
    for row in range(rows):
        count = int(random.integers(1, size + 3))
        tokens = [words[0], *random.choice([*words, "strange"], count - 1)]
        random.shuffle(tokens)
        found = [known.index(t if t in known else UNKNOWN) for t in tokens
                 if t in known or UNKNOWN in known]  # fmt: skip
        ids[row, : len(found)] = found[:size]
        hot[row, found] = 1
        texts.append(str(random.choice([" ", "  ", "\n"])).join(
            str(random.choice(WRITTEN)).format(
                token.upper() if token.isascii() and random.random() < 0.3 else token
            )
            for token in tokens
        ))  # fmt: skip
    return (hot if feature["encoding"] == "multi_hot" else ids), texts


def raw_numbers(feature: Mapping[str, Any], rows: int, random: Any) -> np.ndarray:
    """Numbers `(rows, columns)` before they are scaled, each column of another size."""
    [width] = feature["shape"]
    values = (random.normal(size=(rows, width)) * 3 + 13) * 10.0 ** np.arange(width)
    if feature["constant"]:
        values[:, 0] = 7.3
    return values.astype(FLOAT)


def scaled_numbers(feature: Mapping[str, Any], raw: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Each column by what the rows to train on show; a constant one is 0."""
    values, seen = raw.astype(np.float64), raw[train].astype(np.float64)
    low, high = seen.min(axis=0), seen.max(axis=0)
    shift, scale = seen.mean(axis=0), seen.std(axis=0)
    if feature["normalize"] == "min_max":
        shift, scale = low, high - low
    varies = high > low
    return np.where(varies, (values - shift) / np.where(varies, scale, 1), 0).astype(FLOAT)
