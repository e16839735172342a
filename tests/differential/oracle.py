"""The same fusion composed by hand, with Keras and NumPy alone: nothing of the product in here.

Sub-models are loaded from their files and called one after another as layers, always in inference
mode. A value keeps the mask that Keras gives it; what Keras does not know is stated here: the mask
of a variable sequence comes from its length, and a cast passes a mask on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend import get_keras_mask, set_keras_mask

from tests.differential import labels as further
from tests.differential.case import Case, Data, source
from tests.differential.models import make_layer

Values = dict[str, Any]


@contextmanager
def policy(name: str) -> Iterator[None]:
    """New layers compute in a dtype policy."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _masked(tensor: Any, mask: Any) -> Any:
    """A copy of a tensor with a mask of its own, or with none."""
    copied = tf.identity(tensor)
    if mask is not None:
        set_keras_mask(copied, mask)
    return copied


class _Attention(keras.layers.Layer):
    """The merge `attention`: branches as tokens that attend to all, added to themselves."""

    def __init__(self, heads: int, width: int) -> None:
        super().__init__()
        self.attend = keras.layers.MultiHeadAttention(heads, max(width // heads, 1))

    def call(self, inputs: list[Any]) -> Any:
        tokens = keras.ops.stack(inputs, axis=1)
        return keras.ops.mean(tokens + self.attend(tokens, tokens), axis=1)


class _Gated(keras.layers.Layer):
    """The merge `gated`: a sum of branches by a softmax of all."""

    def __init__(self, branches: int) -> None:
        super().__init__()
        self.gates = keras.layers.Dense(branches, activation="softmax")

    def call(self, inputs: list[Any]) -> Any:
        gates = self.gates(keras.ops.concatenate(inputs, axis=-1))
        return sum(gates[:, n : n + 1] * branch for n, branch in enumerate(inputs))


class _Bilinear(keras.layers.Layer):
    def call(self, inputs: list[Any]) -> Any:
        one, other = inputs
        outer = keras.ops.einsum("bi,bj->bij", one, other)
        return keras.ops.reshape(outer, (-1, one.shape[1] * other.shape[1]))


def _merge(node: Mapping[str, Any], width: int) -> Any:
    config, count = node.get("config", {}), len(node["inputs"])
    plain: dict[str, Callable[[], Any]] = {
        "concatenate": lambda: keras.layers.Concatenate(axis=config.get("axis", -1)),
        "add": keras.layers.Add,
        "multiply": keras.layers.Multiply,
        "average": keras.layers.Average,
        "maximum": keras.layers.Maximum,
        "dot": lambda: keras.layers.Dot(axes=-1, normalize=config.get("normalize", False)),
        "attention": lambda: _Attention(config.get("heads", 1), width),
        "gated": lambda: _Gated(count),
        "bilinear": _Bilinear,
    }
    return plain[node["merge"]]()


class _File:
    """A sub-model from its file, called by `{entry: tensor}`; gives its outputs in a row."""

    def __init__(self, description: Mapping[str, Any], path: Path) -> None:
        self._entries = list(description["inputs"])
        if path.is_dir():
            self.model: Any = tf.saved_model.load(str(path))
            self._signature = self.model.signatures["serving_default"]
            self._specs = self._signature.structured_input_signature[1]
            self.trainable = [v for v in self._signature.variables if v.trainable]
            return
        from tests.differential import own_a, own_b

        own = own_b if "OwnB" in str(description) else own_a
        # A scope does not reach inside a functional model: what is registered comes first there.
        registered = keras.saving.get_custom_objects()
        before = dict(registered)
        registered["Custom>Block"] = own.Block
        try:
            self.model = keras.models.load_model(path, compile=False)
        finally:
            registered.update(before)
        self._signature = None
        self.trainable = [v.value for v in self.model.trainable_variables]

    def tap(self, layer: str) -> None:
        """Ends at an inner layer."""
        self.model = keras.Model(self.model.inputs, self.model.get_layer(layer).output)

    def __call__(self, given: Values) -> list[Any]:
        if self._signature is not None:
            names = list(self._specs)
            if len(names) == 1:
                given = dict(zip(names, given.values(), strict=True))
            fed = {name: self._cast(given[name], self._specs[name].dtype.name) for name in names}
            found = self._signature(**fed)
            return [found[name] for name in sorted(found)]
        if isinstance(self.model, keras.Sequential) or not hasattr(self.model, "inputs"):
            [tensor] = given.values()
            wanted = self.model.inputs[0].dtype if isinstance(self.model, keras.Sequential) else ""
            # A Sequential without Input does not say what it takes: what it was built on.
            if isinstance(self.model.layers[0], keras.layers.Embedding):
                wanted = tensor.dtype.name
            inputs: Any = self._cast(tensor, wanted)
        else:
            inputs = keras.tree.map_structure(
                lambda known: self._cast(given[known.name], known.dtype), self.model.input
            )
        return keras.tree.flatten(self.model(inputs, training=False))

    def _cast(self, tensor: Any, dtype: str) -> Any:
        if not dtype or tensor.dtype.name == dtype or tensor.dtype == tf.string:
            return tensor
        return _masked(tf.cast(tensor, dtype), get_keras_mask(tensor))


class Oracle:
    """A fusion by hand.

    Attributes:
        layers: the new layers of each node.
        vectors: what stands for a missing feature, by reference.
    """

    def __init__(self, case: Case, paths: Mapping[str, Path]) -> None:
        self.case = case
        # What predictions are scaled back by; `set_means` reads it from the rows to train on.
        self.units: dict[str, tuple[float, float]] = {}
        self.files: dict[str, _File] = {}
        for name, description in case.submodels.items():
            if "same_as" not in description:
                self.files[name] = _File(description, paths[name])
        self.layers: dict[str, list[Any]] = {}
        self.vectors: dict[str, Any] = {}

    def feed(self, data: Data, rows: np.ndarray) -> Values:
        """The features of some rows as tensors, with the masks of variable sequences."""
        fed: Values = {}
        for name, values in data.features.items():
            array = values[rows]
            tensor = tf.constant(array.tolist() if array.dtype == object else array)
            if name in data.lengths:
                steps = np.arange(array.shape[1])
                tensor = _masked(tensor, tf.constant(steps < data.lengths[name][rows, None]))
            fed[name] = tensor
        for name, values in data.absent.items():
            fed[f"{name}.missing"] = tf.constant(values[rows])
        return fed

    def __call__(self, fed: Values, training: bool = False) -> Values:
        """Predictions `{output: (batch, …)}` in float32."""
        known: dict[str, Any] = {}

        def value(reference: str) -> Any:
            name, _, place = reference.partition("#")
            if name in self.case.features:
                return fed[name]
            if name not in known:
                known[name] = (
                    self._submodel(name, taken) if name in self.case.submodels
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
                binary = further.kind_of(output) in ("binary", "multi_label")
                activation = "sigmoid" if binary else "softmax"
            found[name] = keras.layers.Activation(activation, dtype="float32")(
                _masked(tensor, None)
            )
            shift, scale = self.units.get(name, (0.0, 1.0))
            found[name] = found[name] * scale + shift
        return found

    def _submodel(self, name: str, taken: Callable[[str, str], Any]) -> list[Any]:
        description = self.case.submodels[name]
        owner = description.get("same_as", name)
        given = {e: taken(name, entry["from"]) for e, entry in description["inputs"].items()}
        if owner != name:
            given = dict(zip(self.case.submodels[owner]["inputs"], given.values(), strict=True))
        return self.files[owner](given)

    def _node(self, name: str, taken: Callable[[str, str], Any], training: bool) -> Any:
        node = self.case.nodes[name]
        if "merge" in node:
            tensors = [taken(name, reference) for reference in node["inputs"]]
            if name not in self.layers:
                with policy(self.case.training["precision"]):
                    self.layers[name] = [_merge(node, tensors[0].shape[-1])]
            return self.layers[name][0](tensors)
        if name not in self.layers:
            with policy(self.case.training["precision"]):
                self.layers[name] = [make_layer(item) for item in node["layers"]]
        tensor = taken(name, node["inputs"])
        for layer in self.layers[name]:
            has_mode = getattr(layer, "_call_has_training_arg", False)
            tensor = layer(tensor, training=training) if has_mode else layer(tensor)
        return tensor

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
        return _masked(
            tf.where(where, tf.cast(vector, tensor.dtype), tensor), get_keras_mask(tensor)
        )

    # ------------------------------------------------------------------------------- training

    def set_means(self, data: Data) -> None:
        """Sets what stands for a feature that is replaced by the mean over the rows with it."""
        fed = self.feed(data, data.train)
        self.units = {
            name: further.units_of(output, data.labels[name][data.train])
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

    def _variables(self, stage: Mapping[str, Any]) -> list[Any]:
        found = self.new_variables()
        for name in stage.get("unfreeze", {}):
            found += self.files[name].trainable
        return found

    def _all(self) -> list[Any]:
        every = [
            v.value for layers in self.layers.values() for layer in layers for v in layer.variables
        ]
        every += self.vectors.values()
        for file in self.files.values():
            every += file.trainable
        return every

    def train(self, data: Data, order: Iterable[Iterable[np.ndarray]]) -> list[dict[str, float]]:
        """Trains through every stage by a plain loop.

        Args:
            data: the rows.
            order: for each epoch of the training, its batches of row numbers.

        Returns the losses of the evaluation rows after each epoch.
        """
        epochs, losses = iter(order), []
        for stage in self.case.training["stages"]:
            [(kind, config)] = stage["optimizer"].items()
            optimizer = getattr(keras.optimizers, kind)(
                learning_rate=stage["learning_rate"], global_clipnorm=stage.get("clip_norm"),
                **config,
            )  # fmt: skip
            if self.case.training["precision"] == "mixed_float16":
                # As Keras compiles a model of that policy: a step that overflows is left out.
                optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
            tensors = self._variables(stage)
            variables = [keras.Variable(v.numpy()) for v in tensors]
            best, kept, wait, stopped = np.inf, None, 0, False
            for _ in range(stage["epochs"]):
                batches = next(epochs)
                if stopped:
                    continue
                for rows in batches:
                    with tf.GradientTape() as tape:
                        total = self.loss(data, rows, training=True)
                        scaled = optimizer.scale_loss(total)
                    # Those of an Embedding stay sparse, of which Keras's Adam squares each slice.
                    optimizer.apply(tape.gradient(scaled, tensors), variables)
                    for mine, stepped in zip(tensors, variables, strict=True):
                        mine.assign(stepped.numpy())
                found = self.losses(data, data.eval)
                losses.append(found)
                if "early_stopping" in stage:
                    if found["loss"] < best:
                        best, wait, kept = found["loss"], 0, [v.numpy() for v in self._all()]
                    else:
                        wait += 1
                        stopped = wait >= stage["early_stopping"]["patience"]
            for variable, value in zip(self._all(), kept or [], strict=False):
                variable.assign(value)
        return losses

    def loss(self, data: Data, rows: np.ndarray, training: bool) -> Any:
        """The weighted sum of all outputs' losses over a batch."""
        predictions = self(self.feed(data, rows), training)
        total = 0.0
        for name, output in self.case.outputs.items():
            labels = data.labels[name]
            weights = np.ones(len(labels), "float32")
            given = output.get("class_weights")
            if given == "balanced":
                counts = np.bincount(labels[data.train], minlength=len(output["label"]["classes"]))
                weights = (len(data.train) / (len(counts) * counts))[labels]
            elif given:
                weights = np.array([given.get(c, 1.0) for c in output["label"]["classes"]])[labels]
            weights = weights * data.weights.get(name, np.ones(len(labels)))
            each = self._loss_of(name, labels[rows], predictions[name])
            weighted = each * tf.constant(weights[rows], tf.float32)
            total += output.get("weight", 1.0) * tf.reduce_mean(weighted)
        return total

    def losses(self, data: Data, rows: np.ndarray) -> dict[str, float]:
        """Every output's loss over rows, and the weighted sum of them."""
        predictions = self(self.feed(data, rows))
        found = {
            f"{name}_loss": float(
                np.mean(self._loss_of(name, data.labels[name][rows], predictions[name]))
            )
            for name, output in self.case.outputs.items()
        }
        found["loss"] = sum(
            output.get("weight", 1.0) * found[f"{name}_loss"]
            for name, output in self.case.outputs.items()
        )
        return found

    def _loss_of(self, name: str, values: np.ndarray, predictions: Any) -> Any:
        shift, scale = self.units.get(name, (0.0, 1.0))
        if (shift, scale) != (0.0, 1.0):
            values, predictions = (values - shift) / scale, (predictions - shift) / scale
        return loss_of(self.case.outputs[name], tf.constant(values), predictions)

    def metrics(self, data: Data, rows: np.ndarray) -> dict[str, float]:
        """Every output's metrics over rows, by NumPy."""
        predictions = self(self.feed(data, rows))
        return {
            f"{name}_{metric}": metric_of(
                output, metric, data.labels[name][rows], predictions[name].numpy()
            )
            for name, output in self.case.outputs.items()
            for metric in output["metrics"]
        }


PLAIN = (
    "categorical_crossentropy", "binary_crossentropy", "mean_squared_error", "mean_absolute_error",
    "huber",
)  # fmt: skip
PLAIN_METRICS = (
    "accuracy", "top_3_accuracy", "auc", "precision", "recall", "mean_squared_error",
    "mean_absolute_error", "root_mean_squared_error",
)  # fmt: skip


def loss_of(output: Mapping[str, Any], labels: Any, predictions: Any) -> Any:
    """The loss of every row `(rows,)`."""
    if output["loss"] not in PLAIN or "loss_options" in output:
        return further.loss_of(output, labels, predictions)
    loss, kind = output["loss"], output["label"]["type"]
    if loss == "categorical_crossentropy":
        return keras.losses.sparse_categorical_crossentropy(labels, predictions)
    labels = tf.cast(labels, tf.float32)
    if kind == "category":
        labels = labels[:, None]
    return getattr(keras.losses, loss)(labels, predictions)


def metric_of(
    output: Mapping[str, Any], metric: str, labels: np.ndarray, predictions: np.ndarray
) -> float:
    """A metric by NumPy; `auc` by 200 thresholds, as Keras documents it."""
    if metric.partition("@")[0] not in PLAIN_METRICS or "@" in metric:
        return float(further.metric_of(output, metric, labels, predictions))
    if "error" in metric:
        errors = (labels.reshape(-1) - predictions.reshape(-1)).astype(np.float64)
        squared = np.mean(errors**2)
        return float({
            "mean_squared_error": squared, "root_mean_squared_error": np.sqrt(squared),
            "mean_absolute_error": np.mean(np.abs(errors)),
        }[metric])  # fmt: skip
    if further.kind_of(output) == "category":
        if metric == "accuracy":
            return float(np.mean(predictions.argmax(axis=1) == labels))
        own = predictions[np.arange(len(labels)), labels]
        return float(np.mean((predictions > own[:, None]).sum(axis=1) < 3))
    true = labels.reshape(len(predictions), -1).astype(bool)
    said = predictions > 0.5
    if metric == "accuracy":
        return float(np.mean(said == true))
    if metric == "precision":
        return float((said & true).sum() / max(said.sum(), 1))
    if metric == "recall":
        return float((said & true).sum() / max(true.sum(), 1))
    return float(np.mean([_area(true[:, n], predictions[:, n]) for n in range(true.shape[1])]))


def _area(true: np.ndarray, chances: np.ndarray) -> float:
    epsilon = 1e-7
    limits = np.r_[-epsilon, np.arange(1, 199) / 199, 1 + epsilon].astype("float32")
    over = chances[:, None] > limits
    hits = (over & true[:, None]).sum(axis=0) / max(true.sum(), 1)
    false = (over & ~true[:, None]).sum(axis=0) / max((~true).sum(), 1)
    return float(np.sum((false[:-1] - false[1:]) * (hits[:-1] + hits[1:]) / 2))
