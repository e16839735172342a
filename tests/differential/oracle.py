"""The same fusion composed by hand, with Keras and NumPy alone: nothing of the product in here.

Sub-models are loaded from their files and called one after another as layers, always in inference
mode. A value keeps the mask that Keras gives it; what Keras does not know is stated here: the mask
of a variable sequence comes from its length, and a cast passes a mask on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend import get_keras_mask

from tests.differential.case import Case, source
from tests.differential.labels import kind_of, units_of
from tests.differential.models import make_layer
from tests.differential.oracle_file import File, Values, with_mask
from tests.differential.oracle_merges import new_merge
from tests.differential.recorder import name_by_value
from tests.differential.rows import Data


@contextmanager
def policy(name: str) -> Iterator[None]:
    """New layers compute in a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _made_up(value: np.ndarray) -> Any:
    """What a branch is given in place of a value `(…)` that a row lacks, with every step.

    Something that every layer can compute with: a mean over no step is 0 / 0, and 0 times the
    gradient of that is NaN for all rows.
    """
    if value.dtype.kind == "i":
        return 1
    return np.arange(1, value.size + 1).reshape(value.shape) / value.size


class Oracle:
    """A fusion by hand.

    Attributes:
        layers: the new layers of each node.
        vectors: what stands for a missing feature, by reference.
        seeds: draw the rows that go without a feature in training, by feature.
        units: what predictions are scaled back by; `set_means` reads it from the rows to train on.
    """

    def __init__(self, case: Case, paths: Mapping[str, Path]) -> None:
        self.case = case
        self.units: dict[str, tuple[float, float]] = {}
        self.files: dict[str, File] = {}
        for name, description in case.submodels.items():
            if "same_as" not in description:
                self.files[name] = File(description, paths[name])
        self.layers: dict[str, list[Any]] = {}
        self.vectors: dict[str, Any] = {}
        self.seeds = {
            name: keras.random.SeedGenerator(0)
            for name, feature in case.features.items()
            if (feature.get("missing") or {}).get("drop")
        }

    def feed(self, data: Data, rows: np.ndarray) -> Values:
        """The features of some rows as tensors, with the masks of variable sequences."""
        fed: Values = {}
        for name, values in data.features.items():
            array = values[rows].copy()
            absent = data.absent.get(name, np.zeros(len(values)))[rows] == 1
            if array.dtype != object:
                array[absent] = _made_up(array[0])
            tensor = tf.constant(array.tolist() if array.dtype == object else array)
            if name in data.lengths:
                steps = np.arange(array.shape[1]) < data.lengths[name][rows, None]
                tensor = with_mask(tensor, tf.constant(steps | absent[:, None]))
            fed[name] = tensor
        for name, values in data.absent.items():
            fed[f"{name}.missing"] = tf.constant(values[rows])
        return fed

    def __call__(self, fed: Values, training: bool = False) -> Values:
        """Predictions `{output: (batch, …)}` in float32."""
        known: dict[str, Any] = {}
        self.fed = fed
        if training:
            fed = {**fed, **self._dropped(fed)}

        def value(reference: str) -> Any:
            name, _, place = reference.partition("#")
            if name in self.case.features:
                return fed[name]
            if name not in known:
                known[name] = (
                    self._submodel(name, taken, training) if name in self.case.submodels
                    else self._node(name, taken, training)
                )  # fmt: skip
            return known[name][int(place)] if place else known[name]

        def taken(consumer: str, reference: str) -> Any:
            return self._replaced(consumer, reference, value(reference), fed)

        self.known, self.value = known, value
        found = {}
        for name, output in self.case.outputs.items():
            tensor = value(output["from"])
            activation = "linear"
            last = next(iter(self.case.nodes[source(output["from"])]["layers"][-1].values()))
            if output["label"]["type"] != "number" and last.get("activation") != "sigmoid":
                binary = kind_of(output) in ("binary", "multi_label")
                activation = "sigmoid" if binary else "softmax"
            found[name] = keras.layers.Activation(activation, dtype="float32")(
                with_mask(tensor, None)
            )
            shift, scale = self.units.get(name, (0.0, 1.0))
            found[name] = found[name] * scale + shift
        return found

    def _dropped(self, fed: Values) -> Values:
        """Which rows lack a feature when a share of those that have it goes without it too."""
        found = {}
        for name, seeds in self.seeds.items():
            absent = tf.cast(fed[f"{name}.missing"], bool)
            drawn = keras.random.uniform(absent.shape, seed=seeds)
            dropped = drawn < self.case.features[name]["missing"]["drop"]
            found[f"{name}.missing"] = tf.cast(absent | dropped, tf.int64)
        return found

    def _submodel(self, name: str, taken: Callable[[str, str], Any], training: bool) -> list[Any]:
        description = self.case.submodels[name]
        owner = description.get("same_as", name)
        given = {e: taken(name, entry["from"]) for e, entry in description["inputs"].items()}
        if owner != name:
            given = dict(zip(self.case.submodels[owner]["inputs"], given.values(), strict=True))
        return [self._finite(name, tensor) for tensor in self.files[owner](given, training)]

    def _node(self, name: str, taken: Callable[[str, str], Any], training: bool) -> Any:
        node = self.case.nodes[name]
        if "merge" in node:
            tensors = [taken(name, reference) for reference in node["inputs"]]
            if name not in self.layers:
                with policy(self.case.training["precision"]):
                    self.layers[name] = [new_merge(node, tensors[0].shape[-1])]
            return self.layers[name][0](tensors)
        if name not in self.layers:
            with policy(self.case.training["precision"]):
                self.layers[name] = [make_layer(item) for item in node["layers"]]
        tensor = taken(name, node["inputs"])
        for layer in self.layers[name]:
            has_mode = getattr(layer, "_call_has_training_arg", False)
            tensor = layer(tensor, training=training) if has_mode else layer(tensor)
            tensor = self._finite(name, tensor)
        return tensor

    def _finite(self, name: str, tensor: Any) -> Any:
        """What a branch of one feature gives, in rows that lack it: finite, with every step."""
        [feature, *others] = self.case.upstream(name)
        if others or not self.case.features[feature].get("missing") or tensor.dtype == tf.string:
            return tensor
        absent = tf.cast(self.fed[f"{feature}.missing"], bool)
        mask = get_keras_mask(tensor)
        if tensor.dtype.is_floating:
            places = list(range(1, len(tensor.shape)))
            finite = tf.reduce_all(tf.math.is_finite(tensor), places, keepdims=True)
            where = tf.reshape(absent, [-1] + [1] * len(places)) & ~finite
            tensor = tf.where(where, tf.zeros_like(tensor), tensor)
        return with_mask(tensor, None if mask is None else mask | absent[:, None])

    def replaced(self, consumer: str, reference: str) -> str:
        """The feature that is replaced on the way to a consumer: where its branch joins others."""
        before = self.case.upstream(reference)
        joined = set().union(*(self.case.upstream(r) for r in self.case.inputs_of(consumer)))
        if len(before) > 1 or joined == before:
            return ""
        [feature] = before
        return feature if self.case.features[feature].get("missing") else ""

    def _replaced(self, consumer: str, reference: str, tensor: Any, fed: Values) -> Any:
        feature = self.replaced(consumer, reference)
        if not feature:
            return tensor
        absent = tf.cast(fed[f"{feature}.missing"], bool)
        where = tf.reshape(absent, [-1] + [1] * (len(tensor.shape) - 1))
        vector = self.vectors.get(reference)
        if vector is None:
            vector = tf.zeros(tensor.shape[1:])
            if self.case.features[feature]["missing"]["replace"] != "zeros":
                self.vectors[reference] = vector = tf.Variable(vector)
        mask = get_keras_mask(tensor)
        return with_mask(
            tf.where(where, tf.cast(vector, tensor.dtype), tensor),
            None if mask is None else mask | absent[:, None],
        )

    def set_means(self, data: Data) -> None:
        """Sets what stands for a feature that is replaced by the mean over the rows with it."""
        fed = self.feed(data, data.train)
        self.units = {
            name: units_of(output, data.labels[name][data.train])
            for name, output in self.case.outputs.items()
        }
        self(fed)
        value = self.value
        for reference, vector in self.vectors.items():
            [feature] = self.case.upstream(reference)
            if self.case.features[feature]["missing"]["replace"] == "mean":
                there = data.absent[feature][data.train] == 0
                found = np.asarray(value(reference)).astype(np.float64)[there]
                vector.assign(found.mean(axis=0))

    def new_variables(self) -> list[Any]:
        """What the head learns."""
        found = [
            v.value for layers in self.layers.values() for layer in layers
            for v in layer.trainable_variables
        ]  # fmt: skip
        for reference, vector in self.vectors.items():
            [feature] = self.case.upstream(reference)
            if self.case.features[feature]["missing"]["replace"] == "learned":
                found.append(vector)
        return found

    def named(self) -> dict[str, Any]:
        """All that training may change, by names that the product's variables have too."""
        found = dict(self.vectors)
        for name, layers in self.layers.items():
            for place, layer in enumerate(layers):
                for number, variable in enumerate(layer.trainable_variables):
                    found[f"{name}/{place}/{number}"] = variable.value
        for name, file in self.files.items():
            found |= {name_by_value(name, v): v for v in file.trainable}
        return found

    def random_states(self) -> list[Any]:
        """What new layers and features that rows go without in training are drawn from."""
        layers = [layer for layers in self.layers.values() for layer in layers]
        states = [v for layer in layers for v in layer.variables if "seed_generator" in v.path]
        return [*states, *(seeds.state for seeds in self.seeds.values())]

    def variables(self) -> list[Any]:
        """All that training may change."""
        return [
            *(v.value for layers in self.layers.values() for one in layers for v in one.weights),
            *self.vectors.values(),
            *(variable for file in self.files.values() for variable in file.variables()),
        ]
