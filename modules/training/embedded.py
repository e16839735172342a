"""Learning from embeddings: their rows in batches, and the head as a model of its own."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.data.records import Records
from tfx_fusion.modules.embedding.columns import Column, Contents, parse
from tfx_fusion.modules.embedding.embedder import mask_name
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.keras_compat import run_graph, set_mask
from tfx_fusion.modules.preprocessing.transform import decode_images
from tfx_fusion.modules.spec import ImageFeature
from tfx_fusion.modules.submodels.flatten import scope_name
from tfx_fusion.modules.training.data import read_row_ids

# Rows that take at most this stay in memory; more are read from disk in every epoch.
MEMORY_BYTES = 2 << 30


class EmbeddedRows:
    """The embedded rows of a split, in memory if they fit."""

    def __init__(self, contents: Contents, split: str, folder: str) -> None:
        self._columns = {c.name: c for c in contents.columns if c.name != "row_id"}
        self._count, self._folder = contents.rows[split], folder
        self._files = example_files(folder)
        self._images = {
            name: feature
            for name in contents.plan.passed
            if isinstance(feature := contents.plan.features.get(name), ImageFeature)
            and self._columns[name].dtype == "string"  # not decoded yet
        }
        self._in_memory: dict[str, Any] | None = None
        if not self._images and contents.bytes_per_row * self._count <= MEMORY_BYTES:
            self._in_memory = self._read()
        else:
            self._records = Records(self._files)
            if len(self._records) != self._count:
                raise self._unexpected(f"{len(self._records):,}")

    def _read(self) -> dict[str, Any]:
        arrays: dict[str, np.ndarray] = {}
        filled = 0
        try:
            for serialized in tf.data.TFRecordDataset(self._files).batch(1024).prefetch(2):
                filled += len(serialized)
                if filled > self._count:
                    break
                for name, values in parse(self._columns, serialized).items():
                    array = values.numpy()
                    if name not in arrays:
                        arrays[name] = np.empty((self._count, *array.shape[1:]), array.dtype)
                    arrays[name][filled - len(array) : filled] = array
        except tf.errors.OpError as error:
            raise self._unexpected(f"damaged ones: {error.message.splitlines()[0]}") from error
        if filled != self._count:
            raise self._unexpected(f"{filled:,}")
        return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}

    def _unexpected(self, found: str) -> RunError:
        return RunError(
            f"{self._folder}: expected {self._count:,} embedded rows, found {found}: delete the "
            "folder of the runs to embed again"
        )

    def tensors(self, numbers: Any) -> dict[str, Any]:
        if self._in_memory is not None:
            return {name: tf.gather(values, numbers) for name, values in self._in_memory.items()}
        tensors = parse(self._columns, self._records.read(numbers))
        for name, feature in self._images.items():
            tensors[name] = decode_images(tensors[name], feature)
        return tensors

    def count(self) -> int:
        return self._count

    def class_indices(self, label: str) -> np.ndarray:
        return self.label_values(label)

    def label_values(self, label: str) -> np.ndarray:
        if self._in_memory is not None:
            return self._in_memory[label].numpy().reshape(self._count)
        column = {label: self._columns[label]}
        batches = tf.data.TFRecordDataset(self._files).batch(1024)
        found = [parse(column, rows)[label].numpy().reshape(-1) for rows in batches]
        return np.concatenate(found)

    def row_ids(self, numbers: Any) -> list[str]:
        return read_row_ids(Records(self._files), numbers)


@keras.saving.register_keras_serializable(package="tfx_fusion")
class WithMask(keras.layers.Layer):
    """Attaches to an embedding `(batch, …)` the mask `(batch, steps)` that it had when computed."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name=name, **{**options, "dtype": "float32", "autocast": False})
        self.supports_masking = True

    def call(self, embedding: Any, mask_values: Any) -> Any:
        tensor = tf.identity(embedding)
        set_mask(tensor, mask_values)
        return tensor

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> None:
        """None: the mask is set already."""
        return None


def new_head(fused: FusedModel, contents: Contents) -> keras.Model:
    """All of a fused model behind the embeddings, with the fused model's own layers and weights.

    Takes `{column: (batch, …)}` of embeddings, their masks and the features passed on; returns what
    the fused model returns.
    """
    columns = {column.name: column for column in contents.columns}
    plan = contents.plan
    frontier = {name: fused.model.input[name] for name in plan.passed}
    inputs = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=name)
        for name, tensor in frontier.items()
    }
    given: dict[str, Any] = dict(inputs)
    for name in plan.embeddings:
        given[name] = inputs[name] = _input(columns[name])
        mask = columns.get(mask_name(name))
        if mask is not None:
            inputs[mask.name] = _input(mask)
            masked = WithMask(name=f"{scope_name(name)}.masked")
            given[name] = masked(inputs[name], inputs[mask.name])
    for submodel, cuts in plan.cuts.items():
        below = {cut: given.pop(f"{submodel}.{cut}") for cut in cuts}
        for tap, tensor in fused.submodels[submodel].above(cuts)(below).items():
            given[f"{submodel}.{tap}"] = tensor
    frontier |= {name: fused.tensors[name] for name in given if name not in frontier}
    behind = keras.Function(frontier, fused.model.output)
    outputs = run_graph(behind, given, lambda operation: operation)
    return keras.Model(inputs, outputs, name="head")


def _input(column: Column) -> keras.KerasTensor:
    return keras.Input(column.shape, dtype=column.dtype, name=scope_name(column.name))
