"""Sub-models from `.keras` files: Sequential and functional models, cut where asked."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from modules.errors import UserError
from modules.submodels.archive import read_config
from modules.submodels.interface import Interface, OutputInfo, TensorInfo


def load_model(path: Path) -> keras.Model:
    """The functional form of a `.keras` file, loaded in Keras's safe mode, without its optimizer.

    Raises UserError where the file is damaged, holds code, or is no Sequential or functional model.
    """
    read_config(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types here; all mean the same to the user
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(f"{path}: Keras cannot load the model: {reason}") from error
    if isinstance(model, keras.Sequential):
        return _functional(path, model)
    if not hasattr(model, "operations"):
        raise UserError(
            f"{path}: expected a Sequential or functional model, found the class "
            f"{type(model).__name__}: save it with `model.export(folder)` and name that folder"
        )
    return model


def _functional(path: Path, model: keras.Sequential) -> keras.Model:
    """Rebuilt, because a Sequential that was saved without an Input keeps the batch size 1."""
    if not model.built:
        raise UserError(f"{path}: the model was saved before it was built; call it once, then save")
    [given] = model.inputs
    inputs = keras.Input(given.shape[1:], dtype=given.dtype, name=given.name)
    tensor = inputs
    for layer in model.layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor, name=model.name)


def named_inputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A functional model's inputs by name: the keys of a dictionary, else the Inputs' names."""
    if isinstance(model.input, dict):
        return dict(model.input)
    return {tensor.name: tensor for tensor in model.inputs}


def named_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A functional model's outputs by name: the keys of a dictionary, else the layers' names."""
    if isinstance(model.output, dict):
        return dict(model.output)
    return {tensor._keras_history.operation.name: tensor for tensor in model.outputs}


def named_cuts(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """The inner layers of a functional model at which it can be cut, by name."""
    found = {}
    for operation in model.operations:
        single = len(operation._inbound_nodes) > 0 and isinstance(
            operation.output, keras.KerasTensor
        )
        if single and not isinstance(operation, keras.layers.InputLayer):
            found[operation.name] = operation.output
    return found


def tapped(model: keras.Model, taps: list[str]) -> keras.Model:
    """The part of a functional model that computes the named outputs or inner layers.

    Takes and gives dictionaries by name; its layers and weights are the model's own.
    """
    tensors = {**named_cuts(model), **named_outputs(model)}
    return keras.Model(named_inputs(model), {tap: tensors[tap] for tap in taps}, name=model.name)


def _info(tensor: keras.KerasTensor) -> dict[str, Any]:
    return {
        "shape": tuple(tensor.shape[1:]),
        "dtype": keras.backend.standardize_dtype(tensor.dtype),
    }


def _activation(tensor: keras.KerasTensor) -> str | None:
    """The activation of the layer that gives a tensor, looking into nested models."""
    operation = tensor._keras_history.operation
    if isinstance(operation, keras.Model):
        inner = getattr(operation, "outputs", None)
        return _activation(inner[tensor._keras_history.tensor_index]) if inner else None
    if isinstance(operation, keras.layers.Softmax):
        return "softmax"
    activation = getattr(operation, "activation", None)
    return getattr(activation, "__name__", None)


def read_interface(model: keras.Model) -> Interface:
    """What a functional model takes and gives, and where it can be cut."""

    def output(name: str, tensor: keras.KerasTensor) -> OutputInfo:
        needed = keras.Model(named_inputs(model), {name: tensor}).count_params()
        return OutputInfo(**_info(tensor), parameters=needed, activation=_activation(tensor))

    return Interface(
        format="keras",
        inputs={name: TensorInfo(**_info(t)) for name, t in named_inputs(model).items()},
        outputs={name: output(name, t) for name, t in named_outputs(model).items()},
        cuts={name: output(name, t) for name, t in named_cuts(model).items()},
        parameters=model.count_params(),
    )


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight by its path, moving statistics included."""
    return {weight.path: np.asarray(weight) for weight in model.weights}


def digest_architecture(path: Path) -> bytes:
    """Digest of the stored architecture alone, whatever the archive's time stamps say."""
    config = {
        key: value for key, value in read_config(path).items() if key in ("class_name", "config")
    }
    return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).digest()
