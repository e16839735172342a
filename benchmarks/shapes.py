"""The three shapes of fusion at sensible sizes, each also as parts that plain Keras composes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.spec import Specification

layers = keras.layers
ROWS = 32
CLASSES = 10
IMAGE = (96, 96, 3)
WORDS, VOCABULARY = 64, 5000
STEPS, CHANNELS = 60, 32


@dataclass(frozen=True)
class Part:
    """A sub-model or head as Keras opens it, and the features or parts whose values it takes."""

    name: str
    model: Callable[[Any], Any]
    takes: tuple[str, ...]


@dataclass(frozen=True)
class Shape:
    """A specification of pretrained models, a batch in memory, and the parts to compose by hand.

    The last of the parts gives the output, `answer`.
    """

    name: str
    specification: Specification
    inputs: dict[str, np.ndarray]
    labels: np.ndarray
    parts: list[Part]


def all_shapes(folder: Path) -> list[Shape]:
    """Makes the pretrained models in a folder, and the shapes of them."""
    random = np.random.default_rng(5)
    return [shape(folder, random) for shape in (image_and_text, chain, stack)]


def image_and_text(folder: Path, random: np.random.Generator) -> Shape:
    """An image network (.keras) and a text network (SavedModel), concatenated before a head."""
    image_network().save(folder / "vision.keras")
    words = keras.Input((WORDS,), dtype="int64", name="words")
    tensor = layers.GlobalAveragePooling1D()(layers.Embedding(VOCABULARY, 128)(words))
    tensor = layers.Dropout(0.2)(layers.Dense(256, activation="relu")(tensor))
    text = keras.Model(words, layers.Dense(64, activation="relu")(tensor), name="text")
    text.export(folder / "text", verbose=False)
    entries = [keras.Input((1280,)), keras.Input((64,))]
    hidden = layers.Dense(128, activation="relu")(layers.Concatenate()(entries))
    head = keras.Model(entries, layers.Dense(CLASSES, activation="softmax")(hidden))
    specification = specify(
        {"image": raw(IMAGE, "float32"), "words": raw((WORDS,), "int64")},
        {
            "vision": {"path": folder / "vision.keras", "inputs": {"image": "image"}},
            "text": {"path": folder / "text", "inputs": {"words": "words"}},
        },
        {
            "joined": {"merge": "concatenate", "inputs": ["vision", "text"]},
            "scores": {
                "layers": [
                    {"Dense": {"units": 128, "activation": "relu"}},
                    {"Dense": {"units": CLASSES, "activation": "softmax"}},
                ],
                "inputs": "joined",
            },
        },
        "scores",
    )
    inputs: dict[str, np.ndarray] = {
        "image": random.random((ROWS, *IMAGE), "float32"),
        "words": random.integers(0, VOCABULARY, (ROWS, WORDS)),
    }
    parts = [
        Part("vision", frozen(folder / "vision.keras"), ("image",)),
        Part("text", keras.layers.TFSMLayer(str(folder / "text"), trainable=False), ("words",)),
        Part("head", head, ("vision", "text")),
    ]
    return Shape("image + text", specification, inputs, classes(random), parts)


def chain(folder: Path, random: np.random.Generator) -> Shape:
    """A feature extractor, frozen, before a pretrained classifier that is trained further."""
    image_network().save(folder / "extractor.keras")
    features = keras.Input((1280,), name="features")
    tensor = layers.Dropout(0.2)(layers.Dense(128, activation="relu")(features))
    scores = layers.Dense(CLASSES, activation="softmax")(tensor)
    keras.Model(features, scores, name="classifier").save(folder / "classifier.keras")
    specification = specify(
        {"image": raw(IMAGE, "float32")},
        {
            "extractor": {"path": folder / "extractor.keras", "inputs": {"image": "image"}},
            "classifier": {
                "path": folder / "classifier.keras",
                "inputs": {"features": "extractor"},
            },
        },
        {},
        "classifier",
        unfreeze={"classifier": {"all": True}},
    )
    parts = [
        Part("extractor", frozen(folder / "extractor.keras"), ("image",)),
        Part("classifier", keras.saving.load_model(folder / "classifier.keras"), ("extractor",)),
    ]
    inputs = {"image": random.random((ROWS, *IMAGE), "float32")}
    return Shape("extractor → classifier", specification, inputs, classes(random), parts)


def stack(folder: Path, random: np.random.Generator) -> Shape:
    """A pretrained LSTM that gives sequences, frozen, under a new LSTM."""
    steps = keras.Input((STEPS, CHANNELS), name="steps")
    tensor = layers.LSTM(128, return_sequences=True)(steps)
    tensor = layers.LSTM(128, return_sequences=True, dropout=0.2)(tensor)
    keras.Model(steps, tensor, name="encoder").save(folder / "encoder.keras")
    entry = keras.Input((STEPS, 128))
    scores = layers.Dense(CLASSES, activation="softmax")(layers.LSTM(64)(entry))
    head = keras.Model(entry, scores)
    specification = specify(
        {"steps": raw((STEPS, CHANNELS), "float32")},
        {"encoder": {"path": folder / "encoder.keras", "inputs": {"steps": "steps"}}},
        {
            "scores": {
                "layers": [
                    {"LSTM": {"units": 64}},
                    {"Dense": {"units": CLASSES, "activation": "softmax"}},
                ],
                "inputs": "encoder",
            }
        },
        "scores",
    )
    parts = [
        Part("encoder", frozen(folder / "encoder.keras"), ("steps",)),
        Part("head", head, ("encoder",)),
    ]
    inputs = {"steps": random.normal(size=(ROWS, STEPS, CHANNELS)).astype("float32")}
    return Shape("stacked LSTMs", specification, inputs, classes(random), parts)


def image_network() -> keras.Model:
    """MobileNetV2 as Keras builds it, to its pooled features."""
    image = keras.Input(IMAGE, name="image")
    return keras.applications.MobileNetV2(
        input_tensor=image, weights=None, include_top=False, pooling="avg"
    )


def frozen(path: Path) -> keras.Model:
    """A pretrained model as plain Keras freezes it."""
    model = keras.saving.load_model(path)
    model.trainable = False
    return model


def classes(random: np.random.Generator) -> np.ndarray:
    return random.integers(0, CLASSES, ROWS)


def raw(shape: tuple[int, ...], dtype: str) -> dict[str, Any]:
    return {"type": "raw", "column": "any", "shape": shape, "dtype": dtype}


def specify(
    features: dict[str, Any],
    submodels: dict[str, Any],
    graph: dict[str, Any],
    source: str,
    unfreeze: dict[str, Any] | None = None,
) -> Specification:
    stage = {"name": "head", "epochs": 1, "learning_rate": 1e-3, "unfreeze": unfreeze or {}}
    answer = {"type": "category", "column": "any", "classes": list(map(str, range(CLASSES)))}
    output = {"from": source, "loss": "categorical_crossentropy", "metrics": ["accuracy"]}
    return Specification.model_validate(
        {
            "name": "benchmark",
            "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": features,
            "labels": {"answer": answer},
            "submodels": submodels,
            "graph": graph,
            "outputs": {"answer": output},
            "training": {"batch_size": ROWS, "stages": [stage]},
            "publish": {"path": "serving"},
        }
    )
