"""The frozen part of a graph as one function, from stored rows to what a head learns from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.embedding.plan import EmbeddingPlan, values_per_row
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build_part
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import ImageFeature, weighted_labels, weights_name
from tfx_fusion.modules.submodels.interface import Interface, TensorInfo
from tfx_fusion.modules.submodels.layer import opener

ACTIVATION_BYTES = 64 << 20
MIN_BATCH, MAX_BATCH = 8, 256
# How many sizes of batches there are, the largest and its parts.
BATCH_SIZES = 8


def mask_name(reference: str) -> str:
    """The name of the column that holds the mask of an embedding."""
    return f"{reference}.mask"


def batch_size(plan: EmbeddingPlan, interfaces: Mapping[str, Interface]) -> int:
    """How many rows go through the sub-models at once: a power of two.

    As many as let the largest activation inside a sub-model (its outputs, where its layers are not
    known) fill 64 MiB as float32: more rows gain no speed and cost memory.
    """
    largest = 1
    for name in plan.imported():
        for tensor in (*interfaces[name].inputs.values(), *interfaces[name].taps().values()):
            largest = max(largest, values_per_row(_WithBatch(tensor)) or 0)
    fitting = max(ACTIVATION_BYTES // (4 * largest), 1)
    return min(max(1 << (fitting.bit_length() - 1), MIN_BATCH), MAX_BATCH)


class _WithBatch:
    def __init__(self, info: TensorInfo) -> None:
        self.shape = (None, *info.shape)


class Embedder:
    """Computes the embeddings of stored rows; loads its sub-models once, when it is made."""

    def __init__(
        self,
        plan: EmbeddingPlan,
        interfaces: Mapping[str, Interface],
        submodels: Mapping[str, Path],
        transform_path: str,
    ) -> None:
        """
        Args:
            plan: what to compute and what to pass on.
            interfaces: of each imported sub-model of the plan.
            submodels: the folder of each imported copy.
            transform_path: the Transform graph's `transform_fn` folder.
        """
        self.plan = plan
        self._transform = TransformGraph(transform_path, plan.features, plan.labels)
        with precision(plan.precision):
            self._model = build_part(plan, interfaces, opener(plan, submodels))
        self._batch = batch_size(plan, interfaces)
        serialized = tf.TensorSpec((None,), tf.string)
        self._embed = tf.function(self._embed_batch, [serialized], autograph=False)

    def batches(self, path: str) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a file of tf.Examples in order, as `{column: (batch, …)}`.

        Columns: each embedding (and its mask, if it has one), each feature passed on (images still
        encoded), each label as the loss takes it, its row weights, and `row_id`. Raises RunError
        where a sub-model returns a value that is not finite.
        """
        # No `map` on the dataset: it would be traced and optimised anew for each file. Inside one
        # function the images of a batch are decoded in parallel as well.
        for serialized in tf.data.TFRecordDataset(path).batch(self._batch).prefetch(1):
            rows = len(serialized)
            found = self._embed(self._padded(serialized))
            columns = {name: value.numpy()[:rows] for name, value in found.items()}
            for name in self.plan.embeddings:
                _check_finite(name, columns[name], columns["row_id"])
            yield columns

    def _padded(self, serialized: Any) -> Any:
        """A short batch `(rows,)`, padded with its first row to one of few sizes.

        The last batch of each file has another size, and TensorFlow prepares its kernels anew for
        each new size, which takes longer than the rows do.
        """
        rows, step = len(serialized), self._batch // BATCH_SIZES
        missing = -rows % step
        return tf.concat([serialized, tf.repeat(serialized[:1], missing)], axis=0)

    def _embed_batch(self, serialized: Any) -> dict[str, Any]:
        raw = tf.io.parse_example(serialized, self._transform.example_spec())
        tensors = self._transform(raw)
        weights = [weights_name(name) for name in weighted_labels(self.plan.labels)]
        columns = {name: tensors[name] for name in (*self.plan.labels, *weights, "row_id")}
        for name in self.plan.passed:
            image = isinstance(self.plan.features.get(name), ImageFeature)
            columns[name] = raw[name] if image else tensors[name]
        inputs = {name: tensors[name] for name in self._model.input}
        for name, tensor in self._model(inputs, training=False).items():
            columns[name] = tensor
            mask = getattr(tensor, "_keras_mask", None)
            if mask is not None:
                columns[mask_name(name)] = mask
        return columns


def _check_finite(name: str, values: np.ndarray, row_ids: np.ndarray) -> None:
    if "float" not in values.dtype.name:  # NumPy does not count bfloat16 among its floats
        return
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        first = row_ids[bad][0].decode()
        raise RunError(
            f"{name}: expected finite values, found NaN or infinity for {bad.sum()} rows, first "
            f"{first}: look at that row, or whether the sub-model gets the range it was trained on"
        )
