"""Sub-models from their descriptions: built with Keras, given random weights, saved.

A description:

    form        functional, sequential, bare (a Sequential without Input), subclassed, nested,
                export (a SavedModel by Keras 3), module (by tf.Module), keras2 (by tf_keras)
    inputs      {entry: {from, kind, shape, dtype, chain}}: each entry goes through its chain
    shared      the first entry's chain serves all entries
    join        what joins several chains: concatenate, add, attention, or none
    tail        the layers behind
    structure   single, list, dict, nested, or twice (one layer's outputs for two entries)
    policy      the dtype policy of all its layers
    quantize, lora, dict_inputs
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tests.differential.case import FLOAT, WORDS, Case, generator

Description = dict[str, Any]


def make_layer(item: dict[str, dict[str, Any]], seed: int = 0) -> Any:
    """A layer, or a function of one tensor, from `{class: config}`."""
    [(name, config)] = item.items()
    config = dict(config)
    if name.startswith("Own"):
        module = __import__(f"tests.differential.own_{name[-1].lower()}", fromlist=["Block"])
        return module.Block(**config)
    if name in ("Bidirectional", "TimeDistributed"):
        return getattr(keras.layers, name)(make_layer(config.pop("layer")), **config)
    if name == "SelfAttention":
        attend = keras.layers.MultiHeadAttention(**config)
        return lambda tensor: attend(tensor, tensor)
    if name == "DotAttention":
        attend = keras.layers.Attention(**config)
        return lambda tensor: attend([tensor, tensor])
    if name == "Residual":
        inner, add = make_layer(config["layer"]), keras.layers.Add()
        return lambda tensor: add([tensor, inner(tensor)])
    if name == "Adapted":
        layer = keras.layers.Normalization()
        layer.adapt(generator(seed, "adapt").normal(2.0, 3.0, (64, config["width"])))
        return layer
    return getattr(keras.layers, name)(**config)


def _run(chain: list[Any], tensor: Any) -> Any:
    for layer in chain:
        tensor = layer(tensor)
    return tensor


def _model(description: Description, seed: int) -> keras.Model:
    """The Keras model that a description tells of."""
    form, entries = description["form"], description["inputs"]
    first = next(iter(entries.values()))

    def layers_of(items: list[Any]) -> list[Any]:
        return [make_layer(item, seed) for item in items]

    if form == "subclassed":
        from tests.differential.own_a import Chain

        model = Chain(description["units"])
        model(np.zeros((2, *first["shape"]), FLOAT))
        return model
    if form in ("sequential", "bare"):
        layers = layers_of([*first["chain"], *description["tail"]])
        if form == "sequential":
            layers.insert(0, keras.Input(tuple(first["shape"]), dtype=first["dtype"]))
        model = keras.Sequential(layers)
        if form == "bare":
            model(np.ones((2, *first["shape"]), first["dtype"]))
        return model
    tensors = {
        name: keras.Input(tuple(entry["shape"]), dtype=entry["dtype"], name=name)
        for name, entry in entries.items()
    }
    shared = layers_of(first["chain"]) if description.get("shared") else None
    ends = []
    for name, entry in entries.items():
        chain = shared or layers_of(entry["chain"])
        if form == "nested" and chain and not isinstance(chain[0], keras.Model):
            inner = keras.Input(tensors[name].shape[1:], dtype=entry["dtype"])
            chain = [keras.Model(inner, _run(chain, inner), name=f"inner_{name}")]
            # Keras cannot load a layer that lies in two models: the model itself serves all.
            shared = chain if shared else None
        ends.append(_run(chain, tensors[name]))
    inputs: Any = dict(tensors) if description.get("dict_inputs") else list(tensors.values())
    if description["structure"] == "nested" and len(tensors) > 1:
        head, *rest = tensors.values()
        inputs = {"p": rest, "r": head}
    if description["structure"] == "twice":
        [score] = layers_of(description["tail"])
        return keras.Model(inputs, [score(end) for end in ends])
    joined = ends[0]
    if len(ends) > 1:
        joins = {
            "concatenate": lambda: keras.layers.Concatenate()(ends),
            "add": lambda: keras.layers.Add()(ends),
            "attention": lambda: keras.layers.MultiHeadAttention(1, 3)(*ends[:2]),
        }
        joined = joins[description["join"]]()
    last = _run(layers_of(description["tail"]), joined)
    side = keras.layers.Dense(2, name="side")(joined) if description["structure"] != "single" else 0
    outputs = {
        "single": last,
        "list": [last, side],
        "dict": {"values": last, "beside": side},
        "nested": {"o": [last, side], "z": keras.layers.Activation("tanh", name="third")(last)},
    }[description["structure"]]
    if isinstance(inputs, list) and len(inputs) == 1:
        [inputs] = inputs
    return keras.Model(inputs, outputs)


def _randomize(model: keras.Model, random: np.random.Generator) -> None:
    """Values that show a difference: fresh biases are zeros, and fresh statistics neutral."""
    for weight in model.weights:
        if "float" not in keras.backend.standardize_dtype(weight.dtype) or "count" in weight.path:
            continue
        low = "variance" in weight.path
        values = (
            random.uniform(0.5, 1.5, weight.shape) if low else random.normal(0, 0.5, weight.shape)
        )
        weight.assign(values)


class _Module(tf.Module):
    """A model of no library: a matrix, a tanh and a sum, with two outputs."""

    def __init__(self, width: int, units: int, random: np.random.Generator) -> None:
        super().__init__()
        self.kernel = tf.Variable(random.normal(size=(width, units)).astype(FLOAT))

    def signature(self, entry: str, shape: list[int]) -> Any:
        def serve(tensor: Any) -> dict[str, Any]:
            hidden = tf.tanh(tf.matmul(tensor, self.kernel))
            return {"tops": hidden, "bottoms": tf.cast(hidden * 2, tf.float64)}

        spec = tf.TensorSpec((None, *shape), tf.float32, name=entry)
        return tf.function(serve, input_signature=[spec])


def _save_keras_2(description: Description, path: Path, random: np.random.Generator) -> None:
    import tf_keras

    [(entry, given)] = description["inputs"].items()
    tensor = inputs = tf_keras.Input(tuple(given["shape"]), name=entry)
    for item in [*given["chain"], *description["tail"]]:
        [(name, config)] = item.items()
        tensor = getattr(tf_keras.layers, name)(**config)(tensor)
    model = tf_keras.Model(inputs, tensor)
    model.set_weights([random.uniform(0.1, 0.9, weight.shape) for weight in model.get_weights()])
    model.save(str(path), save_format="tf")


def save(case: Case, name: str, folder: Path) -> Path:
    """Writes the file or folder of a sub-model; returns its path."""
    description = case.submodels[name]
    random = generator(case.seed, "weights", name)
    keras.utils.set_random_seed(int(random.integers(1 << 30)))
    form = description["form"]
    if form == "module":
        [(entry, given)] = description["inputs"].items()
        path = folder / name
        module = _Module(given["shape"][0], description["units"], random)
        tf.saved_model.save(module, str(path), signatures=module.signature(entry, given["shape"]))
        return path
    if form == "keras2":
        _save_keras_2(description, folder / name, random)
        return folder / name
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(description["policy"])
    try:
        model = _model(description, case.seed)
    finally:
        keras.config.set_dtype_policy(before)
    _randomize(model, random)
    if description.get("quantize"):
        model.quantize("int8")
    if description.get("lora"):
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Dense | keras.layers.Embedding) and layer.built:
                layer.enable_lora(2)
                layer.lora_kernel_b.assign(random.normal(size=layer.lora_kernel_b.shape)) if (
                    hasattr(layer, "lora_kernel_b")
                ) else layer.lora_embeddings_b.assign(
                    random.normal(size=layer.lora_embeddings_b.shape)
                )
    if form == "export":
        model.export(folder / name, verbose=False)
        return folder / name
    model.save(folder / f"{name}.keras")
    return folder / f"{name}.keras"


VOCABULARY = {"StringLookup": {"vocabulary": list(WORDS)}}
