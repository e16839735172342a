"""The models that serving is measured on: a fused model of images and words, and its parts."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.preprocessing.transform import decode_images
from tfx_fusion.modules.spec import ImageFeature

layers = keras.layers
FUSED, PARTS = "fused", ("vision", "text", "head")
ROWS = 256
WORDS, VOCABULARY, CLASSES = 16, 5000, 10
Inputs = dict[str, list[bytes]]


def save_models(folder: Path, size: int) -> None:
    """Version 1 of the fused model and of each part, in folders of their names.

    MobileNetV2 to its pooled features, a network over words, and a head over both, all with random
    weights. The inputs are encoded images and text, as of a published model.
    """
    shape = (size, size, 3)
    keras.utils.set_random_seed(3)
    vision = keras.applications.MobileNetV2(shape, weights=None, include_top=False, pooling="avg")
    ids = keras.Input((WORDS,), dtype="int64")
    tensor = layers.GlobalAveragePooling1D()(layers.Embedding(VOCABULARY, 128)(ids))
    tensor = layers.Dense(256, activation="relu")(tensor)
    text = keras.Model(ids, layers.Dense(64, activation="relu")(tensor))
    entries = [keras.Input((vision.output.shape[1],)), keras.Input((64,))]
    tensor = layers.Dense(128, activation="relu")(layers.Concatenate()(entries))
    head = keras.Model(entries, layers.Dense(CLASSES, activation="softmax")(tensor))
    feature = ImageFeature(type="image", column="image", shape=shape, range=(-1, 1))

    def vision_of(image: Any) -> Any:
        return vision(decode_images(image, feature), training=False)

    def text_of(words: Any) -> Any:
        hashed = tf.strings.to_hash_bucket_fast(tf.strings.split(words), VOCABULARY)
        return text(hashed.to_tensor(shape=(None, WORDS)), training=False)

    def head_of(seen: Any, read: Any) -> Any:
        return head([seen, read], training=False)

    texts = tf.TensorSpec((None,), tf.string)
    embeddings = [tf.TensorSpec(entry.shape, tf.float32) for entry in entries]
    _save(
        folder / FUSED,
        [vision, text, head],
        lambda image, words: {"probabilities": head_of(vision_of(image), text_of(words))},
        {"image": texts, "words": texts},
    )
    _save(folder / "vision", [vision], lambda image: {"seen": vision_of(image)}, {"image": texts})
    _save(folder / "text", [text], lambda words: {"read": text_of(words)}, {"words": texts})
    _save(
        folder / "head",
        [head],
        lambda seen, read: {"probabilities": head_of(seen, read)},
        dict(zip(("seen", "read"), embeddings, strict=True)),
    )


def _save(folder: Path, networks: list[Any], answer: Any, inputs: dict[str, tf.TensorSpec]) -> None:
    module = tf.Module()
    module.weights = [variable.value for network in networks for variable in network.variables]
    named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    signature = tf.function(answer, input_signature=named, autograph=False)
    tf.saved_model.save(module, str(folder / "1"), signatures={"serving_default": signature})


def rows() -> Inputs:
    """JPEGs of 128 pixels to a side, each with ten words."""
    random = np.random.default_rng(2)
    pixels = random.integers(0, 256, (ROWS, 16, 16, 3)).astype(np.uint8)
    large = tf.image.resize(pixels, (128, 128)).numpy().astype(np.uint8)
    words = random.integers(0, VOCABULARY, (ROWS, 10))
    return {
        "image": [tf.io.encode_jpeg(one).numpy() for one in large],
        "words": [" ".join(f"word{number}" for number in line).encode() for line in words],
    }


def some(inputs: Inputs, number: int, batch: int) -> Inputs:
    """The rows of a request: different ones for each number."""
    first = number * batch % (ROWS - batch)
    return {name: values[first : first + batch] for name, values in inputs.items()}
