"""From what stands in a tf.Example to what the fused model takes: the Transform graph.

The graph is the same in training, in evaluation and inside the served model.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from pydantic import TypeAdapter

from tfx_fusion.modules import spec
from tfx_fusion.modules.images import pixels_of
from tfx_fusion.modules.preprocessing.graph import OWN_NODE
from tfx_fusion.modules.spec.tokenizer import read_tokenizer, tokenizer_digest
from tfx_fusion.modules.spec.views import features_in_rows, labels_in_rows
from tfx_fusion.modules.spec.vocabulary import UNKNOWN, read_vocabulary
from tfx_fusion.modules.tokens.text_tokens import TextTokens

# Keras's TextVectorization strips the same characters (`strip_punctuation`).
PUNCTUATION = r"[!\"#$%&()\*\+,-\./:;<=>?@\[\\\]^_`{|}~\']"
FEATURES = TypeAdapter(dict[str, spec.Feature])
LABELS = TypeAdapter(dict[str, spec.Label])


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Transform's entry point: raw tensors `(batch, …)` by name, to tensors for the model.

    `custom_config` holds the features and labels of the specification as JSON. Categories of
    labels become indices `(batch,)` int64, numbers `(batch, 1)` float32, several classes
    `(batch, classes)` float32, 1 for those that a row has. Features that rows may lack have
    `NAME.missing` `(batch,)` int64 beside them, 1 where the raw value is empty text or NaN, as a
    row of the data or a request to the served model says so; their own value is then 0 or padding.
    Variable sequences have `NAME_length` `(batch,)` int64 beside them, 0 where they are missing;
    what stands behind the last step is padding, whatever a request holds there.
    Texts with a tokenizer are `NAME.ids`, `NAME.mask` and `NAME.segments` `(batch, length)` int64.
    Labels with row weights have `NAME.weights` `(batch,)` float32 beside them.
    """
    outputs: dict[str, Any] = {}
    # What is read here must be what the cache's key says.
    digests = json.loads(custom_config["vocabulary_digests"])
    for name, feature in FEATURES.validate_json(custom_config["features"]).items():
        if isinstance(feature, spec.TextFeature) and feature.tokenizer is not None:
            outputs |= _tokens(name, inputs[name], feature, digests.get(name, ""))
        else:
            outputs[name] = _feature(inputs[name], feature, digests.get(name, ""))
        missing = _is_missing(inputs[name]) if feature.missing else None
        if missing is not None:
            outputs[spec.missing_name(name)] = tf.cast(missing, tf.int64)
        if isinstance(feature, spec.SequenceFeature) and feature.variable:
            length = inputs[spec.length_name(name)]
            if missing is not None:
                length = tf.where(missing, tf.zeros_like(length), length)
            outputs[spec.length_name(name)] = tf.identity(length)
            steps = tf.sequence_mask(length, feature.shape[0])[:, :, tf.newaxis]
            padding = tf.constant(feature.padding, tf.float32)
            outputs[name] = tf.where(steps, outputs[name], padding)
    for name, label in LABELS.validate_json(custom_config["labels"]).items():
        if isinstance(label, spec.CategoryLabel):
            outputs[name] = _index(inputs[name], label.classes)
        elif isinstance(label, spec.MultiLabel):
            outputs[name] = tf.cast(inputs[name], tf.float32)
        else:
            outputs[name] = tf.reshape(inputs[name], [-1, 1])
        if label.row_weights is not None:
            outputs[spec.weights_name(name)] = tf.identity(inputs[spec.weights_name(name)])
    outputs["row_id"] = tf.identity(inputs["row_id"], name=OWN_NODE)
    return outputs


def _is_missing(tensor: Any) -> Any:
    """Whether each row `(batch,)` lacks a feature `(batch, …)`: all of it is empty text or NaN."""
    empty = tf.equal(tensor, "") if tensor.dtype == tf.string else tf.math.is_nan(tensor)
    return tf.reduce_all(tf.reshape(empty, [tf.shape(tensor)[0], -1]), axis=1)


def _without_nan(tensor: Any, filling: float = 0.0) -> Any:
    return tf.where(tf.math.is_nan(tensor), tf.constant(filling, tensor.dtype), tensor)


def _feature(tensor: Any, feature: spec.Feature, vocabulary_digest: str) -> Any:
    if isinstance(feature, spec.ImageFeature):
        return decode_images(tensor, feature)
    if isinstance(feature, spec.TextFeature):
        return _text(tensor, feature, vocabulary_digest)
    if isinstance(feature, spec.NumberFeature):
        scaled = _number(tensor, feature)
        return _without_nan(scaled) if feature.missing else scaled
    if isinstance(feature, spec.CategoryFeature):
        index = _index(tensor, feature.classes)
        if feature.encoding == "index":
            return tf.maximum(index, 0) if feature.missing else index
        return tf.one_hot(index, len(feature.classes), dtype=tf.float32)
    if feature.missing and tensor.dtype != tf.string:
        padding = feature.padding if isinstance(feature, spec.SequenceFeature) else 0.0
        return _without_nan(tensor, padding)
    return tf.identity(tensor)


def decode_images(encoded: Any, feature: spec.ImageFeature) -> Any:
    """Encoded images `(batch,)` to pixels `(batch, height, width, channels)` float32 in `range`."""
    height, width, channels = feature.shape
    low, high = feature.range

    def decode(image: Any) -> Any:
        if feature.missing:
            black = tf.zeros(feature.shape, tf.float32)
            return tf.cond(tf.equal(image, ""), lambda: black, lambda: decode_one(image))
        return decode_one(image)

    def decode_one(image: Any) -> Any:
        # No Assert, which TensorFlow would also run where nobody takes the pixels: a text that is
        # no number fails as one, and the error shows it.
        large = f"expected an image of at most {feature.max_pixels} pixels"
        start = tf.where(pixels_of(image) <= feature.max_pixels, "0", large)
        image = tf.strings.substr(image, tf.strings.to_number(start, tf.int32), tf.int32.max)
        pixels = tf.io.decode_image(image, channels=channels, expand_animations=False)
        pixels.set_shape([None, None, channels])
        return tf.image.resize(pixels, [height, width], method="bilinear")

    pixels = tf.map_fn(
        decode, encoded, fn_output_signature=tf.TensorSpec(feature.shape, tf.float32)
    )
    return low + pixels * ((high - low) / 255.0)


def _table(words: tuple[str, ...], default: int) -> tf.lookup.StaticHashTable:
    # Created outside of the function being traced, or the table would be lost with it.
    with tf.init_scope():
        ids = tf.range(len(words), dtype=tf.int64)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(words), ids)
        return tf.lookup.StaticHashTable(pairs, default)


def _index(tensor: Any, classes: tuple[str, ...]) -> Any:
    return _table(classes, -1).lookup(tensor)


def _text(tensor: Any, feature: spec.TextFeature, digest: str) -> Any:
    if feature.vocabulary is None:
        return tf.identity(tensor)
    words = read_vocabulary(feature.vocabulary, digest)
    unknown = words.index(UNKNOWN) if UNKNOWN in words else -1
    # ASCII letters only, as Keras's TextVectorization does: the vocabulary was made with it.
    lowered = tf.strings.lower(tensor)
    tokens = tf.strings.split(tf.strings.regex_replace(lowered, PUNCTUATION, ""))
    ids = _table(words, unknown).lookup(tokens)
    ids = tf.ragged.boolean_mask(ids, ids >= 0)
    if feature.encoding == "ids":
        return ids.to_tensor(default_value=0, shape=[None, feature.length])
    # Not by one_hot: its (rows, tokens, words) tensor takes hundreds of times the memory.
    places = tf.stack([ids.value_rowids(), ids.values], axis=1)
    shape = tf.stack([ids.nrows(), len(words)])
    counts = tf.scatter_nd(places, tf.ones_like(ids.values, tf.float32), shape)
    return tf.reshape(tf.minimum(counts, 1.0), [-1, len(words)])


def _tokens(name: str, tensor: Any, feature: spec.TextFeature, digest: str) -> dict[str, Any]:
    """Texts `(batch,)` or `(batch, 2)` as `NAME.ids`, `.mask`, `.segments` `(batch, length)`."""
    assert feature.tokenizer is not None and feature.length is not None  # noqa: S101, PT018
    texts = tf.unstack(tensor, axis=1) if feature.columns else [tensor]
    contents = read_tokenizer(feature.tokenizer, digest)

    def track(make: Callable[[], Any]) -> Any:
        return tft.make_and_track_object(make, f"{name}.tokenizer")

    tokens = TextTokens(contents, feature.length, len(texts), track)
    return {f"{name}.{output}": value for output, value in tokens(texts).items()}


def _number(tensor: Any, feature: spec.NumberFeature) -> Any:
    """Numbers `(batch,)` or `(batch, columns)`, each column scaled by its training rows.

    Missing values (NaN) are left out of the analysis and stay NaN, except in a column that does not
    vary in the training rows: that one becomes 0.
    """
    if feature.normalize == "none":
        return tf.identity(tensor)
    # float32 would lose the digits in which values of a large mean differ.
    values = tf.cast(tensor, tf.float64)
    # TFT's own minimum and maximum are NaN as soon as one value is, and its scalers turn a constant
    # column into a sigmoid.
    low = tft.min(_without_nan(values, math.inf), reduce_instance_dims=False)
    high = tft.max(_without_nan(values, -math.inf), reduce_instance_dims=False)
    if feature.normalize == "min_max":
        shift, scale = low, high - low
    else:
        shift = tft.mean(values, reduce_instance_dims=False)  # of the values that are not NaN
        scale = tf.sqrt(tft.var(values, reduce_instance_dims=False))
    # By the limits, since the deviation of equal values may be off zero by rounding.
    varies = tf.broadcast_to(high > low, tf.shape(values))
    scaled = tf.where(varies, (values - shift) / scale, tf.zeros_like(values))
    return tf.cast(scaled, tf.float32)


def vocabulary_digests(features: Mapping[str, spec.Feature]) -> dict[str, str]:
    """The SHA-256 of each vocabulary's or tokenizer's files, by the name of its feature."""
    return {
        name: hashlib.sha256(feature.vocabulary.read_bytes()).hexdigest()
        for name, feature in features.items()
        if isinstance(feature, spec.TextFeature) and feature.vocabulary is not None
    } | {
        name: tokenizer_digest(feature.tokenizer)
        for name, feature in features.items()
        if isinstance(feature, spec.TextFeature) and feature.tokenizer is not None
    }


def transform_config(
    features: Mapping[str, spec.Feature],
    labels: Mapping[str, spec.Label],
    digests: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The `custom_config` that `preprocessing_fn` reads, as TFX stores it: text only.

    The vocabularies' digests are in it, because TFX's cache does not see the files' content. They
    are read from the files unless given, as when the files are where the step runs, not here.
    """
    return {
        "vocabulary_digests": json.dumps(
            vocabulary_digests(features) if digests is None else dict(digests)
        ),
        "features": FEATURES.dump_json(features_in_rows(features)).decode(),
        "labels": LABELS.dump_json(labels_in_rows(labels)).decode(),
    }
