"""The frozen part of a graph as one function, from stored rows to what a head learns from."""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import is_transformed
from tfx_fusion.modules.data.records import record_dataset, record_name
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, values_per_row
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import build_part
from tfx_fusion.modules.graph.precision import precision
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import (
    ImageFeature,
    length_name,
    missing_name,
    weighted_labels,
    weights_name,
)
from tfx_fusion.modules.spec.topology import source_of, upstream
from tfx_fusion.modules.submodels.interface import Interface, TensorInfo
from tfx_fusion.modules.submodels.layer import opener

ACTIVATION_BYTES = 64 << 20
MIN_BATCH, MAX_BATCH = 8, 256
# How many sizes of batches there are, the largest and its parts.
BATCH_SIZES = 8
NOT_FINITE = (
    "expected finite values, found NaN or infinity: look at the row, or whether the sub-model gets "
    "the range it was trained on"
)


def mask_name(reference: str) -> str:
    """The name of the column that holds the mask of an embedding: no output's, which may have
    any name behind the sub-model's."""
    return f"mask of {reference}"


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


class RejectedRow(NamedTuple):
    """A row that cannot be embedded, by its place among the rows of its file, from 0."""

    place: int
    row_id: str
    embedding: str
    reason: str


def check_records(
    transform: TransformGraph, records: Sequence[bytes], file: str, first: int, error: Exception
) -> None:
    """Raises RunError, from an error, for the first of some tf.Examples that cannot be read.

    Args:
        transform: the Transform graph that has failed to read them.
        records: tf.Examples that follow each other in a file.
        file: the file.
        first: the place of the first of them in it.
        error: what was raised.
    """
    found = transform.unreadable(records, is_transformed(file))
    if found:
        place, reason = found
        raise RunError(f"{record_name(file, first + place)}: {reason}") from error


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
        names: Mapping[str, str] | None = None,
    ) -> None:
        """
        Args:
            plan: what to compute and what to pass on.
            interfaces: of each imported sub-model of the plan.
            submodels: the folder of each imported copy.
            transform_path: the Transform graph's `transform_fn` folder.
            names: its output for a feature or label, where it has another name.

        Raises RunError where the Transform graph does not give what is needed.
        """
        self.plan = plan
        with precision(plan.precision):
            self._model = build_part(plan, interfaces, opener(plan, submodels))
        read = {*self._model.input, *plan.passed}
        features = {
            name: feature
            for name, feature in plan.features.items()
            if read & {name, length_name(name), missing_name(name)}
        }
        self._transform = TransformGraph(transform_path, features, plan.labels, names)
        self._batch = batch_size(plan, interfaces)
        self._optional = _replaced_later(plan)
        # Images stay encoded where this project's own Transform decodes them, to take less space.
        self._encoded = [
            name
            for name in plan.passed
            if self._transform.is_own and isinstance(plan.features.get(name), ImageFeature)
        ]
        labels = (*plan.labels, *map(weights_name, weighted_labels(plan.labels)))
        self._passed = [*labels, *(name for name in plan.passed if name not in self._encoded)]
        lacking = map(missing_name, self._optional.values())
        self._needed = list(dict.fromkeys((*self._passed, *self._model.input, *lacking)))
        self._transform.check(self._needed)
        serialized = tf.TensorSpec((None,), tf.string)
        self._embed = {
            transformed: tf.function(
                partial(self._embed_batch, transformed=transformed), [serialized], autograph=False
            )
            for transformed in (False, True)
        }

    def batches(
        self, path: str, rejected: list[RejectedRow] | None = None
    ) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a file of tf.Examples in order, as `{column: (batch, …)}`.

        Columns: each embedding (and its mask, if it has one), each feature passed on (images still
        encoded, by this project's own Transform), each label as the loss takes it, its row weights,
        and `row_id`: of rows without one, their place in the file.

        A row of which a sub-model returns a value that is not finite is left out, and added to
        `rejected`. That is no reason to leave it out where the row lacks the feature that the
        embedding is computed from, since the head replaces the embedding: it becomes zeros.

        Raises RunError, with the row and the column, for one that cannot be read.
        """
        rejected = [] if rejected is None else rejected
        place = 0
        # No `map` on the dataset: it would be traced and optimised anew for each file. Inside one
        # function the images of a batch are decoded in parallel as well.
        embed = self._embed[is_transformed(path)]
        for serialized in record_dataset([path]).batch(self._batch).prefetch(1):
            rows = len(serialized)
            try:
                found = embed(self._padded(serialized))
            except tf.errors.InvalidArgumentError as error:
                check_records(self._transform, serialized.numpy(), path, place, error)
                raise
            columns = {name: value.numpy()[:rows] for name, value in found.items()}
            if not columns["row_id"].all():
                places = enumerate(columns["row_id"], place)
                ids = [row_id or record_name(path, at).encode() for at, row_id in places]
                columns["row_id"] = np.array(ids, object)
            usable = np.ones(rows, bool)
            for name in self.plan.embeddings:
                bad = ~_finite(columns[name])
                if name in self._optional:
                    lacking = bad & (columns.pop(f"lacks {name}") != 0)
                    columns[name][lacking] = 0
                    bad &= ~lacking
                for row in np.flatnonzero(bad & usable):
                    row_id = columns["row_id"][row].decode()
                    rejected.append(RejectedRow(place + int(row), row_id, name, NOT_FINITE))
                usable &= ~bad
            place += rows
            if usable.any():
                yield {name: values[usable] for name, values in columns.items()}

    def _padded(self, serialized: Any) -> Any:
        """A short batch `(rows,)`, padded with its first row to one of few sizes.

        The last batch of each file has another size, and TensorFlow prepares its kernels anew for
        each new size, which takes longer than the rows do.
        """
        rows, step = len(serialized), self._batch // BATCH_SIZES
        missing = -rows % step
        return tf.concat([serialized, tf.repeat(serialized[:1], missing)], axis=0)

    def _embed_batch(self, serialized: Any, transformed: bool) -> dict[str, Any]:
        tensors = self._transform.parse(serialized, self._needed, transformed)
        columns = {name: tensors[name] for name in self._passed}
        columns["row_id"] = self._transform.row_ids(serialized, transformed)
        if self._encoded:
            spec = dict.fromkeys(self._encoded, tf.io.FixedLenFeature((), tf.string))
            columns |= tf.io.parse_example(serialized, spec)
        inputs = {name: tensors[name] for name in self._model.input}
        for name, tensor in self._model(inputs, training=False).items():
            columns[name] = tensor
            mask = getattr(tensor, "_keras_mask", None)
            if mask is not None:
                columns[mask_name(name)] = mask
        for name, feature in self._optional.items():
            columns[f"lacks {name}"] = tensors[missing_name(feature)]
        return columns


def _replaced_later(plan: EmbeddingPlan) -> dict[str, str]:
    """The embeddings that are computed from a single feature that rows may lack, and this one."""
    known = upstream(plan)
    sources = {name: known[source_of(name)] for name in plan.embeddings}
    return {
        name: feature
        for name, features in sources.items()
        for feature in features
        if len(features) == 1 and plan.features[feature].missing
    }


def _finite(values: np.ndarray) -> np.ndarray:
    """Which rows `(batch,)` of values `(batch, …)` hold neither NaN nor infinity."""
    if "float" not in values.dtype.name:  # NumPy does not count bfloat16 among its floats
        return np.ones(len(values), bool)
    return np.isfinite(values.reshape(len(values), -1)).all(axis=1)
