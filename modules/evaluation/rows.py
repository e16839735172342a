"""What an exported model predicts of each row of a split, beside the truth and the row's slices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.split import example_files
from tfx_fusion.modules.evaluation.measures import (
    Difference,
    Interval,
    Measure,
    intervals_of,
    measures_of,
)
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE

# A slice by the names that made it, in their order, each with its value; () is the whole split.
Slice = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows of a split: labels and predictions `(rows, …)` by output, values by name."""

    labels: Mapping[str, np.ndarray]
    predictions: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]

    def within(self, where: Slice) -> np.ndarray:
        """Which rows lie in a slice, `(rows,)`."""
        rows = np.ones(len(next(iter(self.labels.values()))), bool)
        for name, value in where:
            rows &= self.values[name] == value
        return rows


def evaluate_rows(
    specification: Specification,
    model: Path,
    folder: str,
    names: Iterable[str],
    most: int | None = None,
) -> EvaluatedRows:
    """Asks an exported model for every row of a split.

    Args:
        specification: what the model was made from.
        model: the SavedModel's folder.
        folder: the split's tf.Examples.
        names: features and labels that rows are sliced by.
        most: how many rows to ask for, from the first; None for all.
    """
    loaded = tf.saved_model.load(str(model))
    predict, label = (loaded.signatures[name] for name in (EXAMPLES_SIGNATURE, LABELS_SIGNATURE))
    predictions: list[dict[str, np.ndarray]] = []
    labels: list[dict[str, np.ndarray]] = []
    values: dict[str, list[str]] = {name: [] for name in names}
    dataset = tf.data.TFRecordDataset(example_files(folder)).take(-1 if most is None else most)
    for serialized in dataset.batch(specification.training.batch_size).prefetch(1):
        predictions.append(_arrays(predict(examples=serialized)))
        labels.append(_arrays(label(examples=serialized)))
        for record in serialized.numpy() if values else ():
            example = tf.train.Example.FromString(record)
            for name, column in values.items():
                column.append(_value(example.features.feature[name]))
    return EvaluatedRows(
        {
            name: np.concatenate([batch[specification.label_name(name)] for batch in labels])
            for name in specification.outputs
        },
        {name: np.concatenate([b[name] for b in predictions]) for name in specification.outputs},
        {name: np.array(column) for name, column in values.items()},
    )


def _arrays(tensors: Mapping[str, tf.Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _value(feature: tf.train.Feature) -> str:
    """A single value as text; empty where a row lacks it."""
    found = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
    first = found[0] if found else ""
    return first.decode() if isinstance(first, bytes) else str(first)


# By output and metric: the interval of the value, and of the change from the champion if it is one.
Intervals = dict[tuple[str, str, bool], Interval]


def slice_intervals(
    specification: Specification,
    confidence: float,
    where: Slice,
    candidate: EvaluatedRows,
    champion: EvaluatedRows | None,
) -> Intervals:
    """The intervals of every metric in a slice."""
    rows = candidate.within(where)
    found: dict[tuple[str, str, bool], Measure] = {}
    for output in specification.outputs:
        labels = candidate.labels[output][rows]
        own = measures_of(specification, output, labels, candidate.predictions[output][rows])
        found.update({(output, metric, False): measure for metric, measure in own.items()})
        if champion:
            of = measures_of(specification, output, labels, champion.predictions[output][rows])
            changes = {metric: Difference(own[metric], of[metric]) for metric in own}
            found.update({(output, metric, True): change for metric, change in changes.items()})
    return intervals_of(found, int(rows.sum()), confidence, specification.training.seed)
