"""The Transform graph as a function: from raw features to what the fused model takes."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import (
    Feature,
    Label,
    TextFeature,
    length_name,
    may_be_missing,
    missing_name,
    stored_columns,
    variable_sequences,
    weighted_labels,
    weights_name,
)
from tfx_fusion.modules.spec.feature_part import Stored
from tfx_fusion.modules.spec.features import ROW_ID
from tfx_fusion.modules.spec.topology import source_of
from tfx_fusion.modules.tokens.loading import load_saved_model

DTYPES = {"float32": tf.float32, "int64": tf.int64, "string": tf.string}


class TransformGraph(tf.Module):
    """Applies what Transform exported.

    TFT's own TransformFeaturesLayer is a Keras 2 model, which cannot nest in a Keras 3 one.
    """

    def __init__(
        self, path: str, features: Mapping[str, Feature], labels: Mapping[str, Label]
    ) -> None:
        """
        Args:
            path: the `transform_fn` folder of a Transform graph.
            features, labels: what the specification names; every one is in the graph.

        Raises RunError where a vocabulary has another length than when the graph was made of it.
        """
        super().__init__(name="transform_graph")
        self._imported = load_saved_model(path)
        _check_widths(features, self._imported.transform_fn.structured_outputs)
        self._stored = stored_columns({**features, **labels})
        self._sequences = variable_sequences(features)
        self._weights = [weights_name(name) for name in weighted_labels(labels)]
        # What Transform analysed beside them; what they say, the graph reads from the values.
        # In one go: what is added to a module's dictionary later cannot be saved with it.
        self._beside = (
            {"row_id": ROW_ID}
            | {missing_name(name): Stored((), "int64") for name in may_be_missing(features)}
            | dict.fromkeys(self._weights, Stored((), "float32"))
        )

    def example_spec(self) -> dict[str, tf.io.FixedLenFeature]:
        """How to parse a tf.Example."""
        spec = {
            name: tf.io.FixedLenFeature(part.shape, DTYPES[part.dtype])
            for name, part in self._stored.items()
        }
        for name in self._weights:
            # A champion must read rows of a candidate without weights, which it does not use.
            spec[name] = tf.io.FixedLenFeature((), tf.float32, default_value=1.0)
        return {**spec, "row_id": tf.io.FixedLenFeature((), tf.string)}

    def input_specs(self, names: list[str]) -> dict[str, tf.TensorSpec]:
        """The raw tensors that a serving request gives for some inputs of the model, by name."""
        features = {*names, *map(source_of, names)}
        return {
            name: tf.TensorSpec((None, *part.shape), DTYPES[part.dtype], name=name)
            for name, part in self._stored.items()
            if name in features
        }

    def parse(self, serialized: Any) -> dict[str, Any]:
        """Serialized tf.Examples `(batch,)` to transformed tensors `(batch, …)` by name."""
        return self(tf.io.parse_example(serialized, self.example_spec()))

    def __call__(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Raw tensors `(batch, …)` to transformed ones; an absent one is filled with zeros.

        The graph wants every raw feature, and a served model has no labels.

        Raises InvalidArgumentError, when it runs, for a length that its sequence cannot have.
        """
        batch = tf.shape(next(iter(raw.values())))[0]
        full = dict(raw)
        for name in self._sequences.keys() & raw.keys():
            full[length_name(name)] = self._length(name, raw)
        for name, part in {**self._stored, **self._beside}.items():
            if name not in full:
                shape = tf.concat([[batch], tf.constant(part.shape, tf.int32)], axis=0)
                empty = "" if part.dtype == "string" else 0
                full[name] = tf.fill(shape, tf.constant(empty, DTYPES[part.dtype]))
        return dict(self._imported.transform_fn(full))

    def _length(self, name: str, raw: Mapping[str, Any]) -> Any:
        """The number of steps `(batch,)` of a sequence, checked."""
        sequence, length = self._sequences[name], raw[length_name(name)]
        least, most = 0 if sequence.missing else 1, sequence.shape[0]
        wrong = tf.logical_or(length < least, length > most)
        message = f"{length_name(name)}: expected {least} to {most} steps, found "
        known = tf.debugging.Assert(
            tf.logical_not(tf.reduce_any(wrong)), [message, tf.boolean_mask(length, wrong)]
        )
        with tf.control_dependencies([known] if known is not None else []):
            return tf.identity(length)


def _check_widths(features: Mapping[str, Feature], made: Mapping[str, tf.TensorSpec]) -> None:
    """Compares the lengths of vocabularies, which is all that is read of them after Transform."""
    for name, feature in features.items():
        if not isinstance(feature, TextFeature) or feature.encoding != "multi_hot":
            continue
        [width], [wanted] = made[name].shape[1:], feature.tensor_shape
        if width != wanted:
            raise RunError(
                f"vocabulary {feature.vocabulary}: the file changed since Transform read it "
                f"({width} tokens then, {wanted} now): run again"
            )
