"""Sub-models from `.keras` files: Sequential and functional models, cut where asked."""

from __future__ import annotations

import hashlib
import inspect
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.errors import UserError, first_line
from tfx_fusion.modules.keras_compat import fresh_layer_names, graph_of, producer
from tfx_fusion.modules.submodels.flatten import FlatModel, flatten
from tfx_fusion.modules.submodels.interface import (
    Interface,
    LayerInfo,
    OutputInfo,
    TensorInfo,
    unique_names,
)
from tfx_fusion.modules.submodels.stored_config import (
    check_classes,
    import_custom_objects,
    import_hub,
    needs_hub,
    read_config,
)


@fresh_layer_names()
def load_model(path: Path, custom_objects: Sequence[str] = ()) -> keras.Model:
    """The functional form of a `.keras` file, loaded in Keras's safe mode, without its optimizer.

    `custom_objects` name the classes, as `package.module:Class`, that the file may hold beside
    Keras's and KerasHub's. Raises UserError where the file is damaged, holds code, or a class not
    listed.
    """
    own = import_custom_objects(custom_objects)
    config = read_config(path)
    check_classes(path, config, own)
    if needs_hub(config):
        import_hub()
    try:
        model = keras.saving.load_model(path, own, compile=False, safe_mode=True)
    except Exception as error:  # Keras raises many types here, for the user all are one
        raise UserError(f"{path}: Keras cannot load the model: {first_line(error)}") from error
    if isinstance(model, keras.Sequential):
        return _functional(path, model)
    return model if graph_of(model) is not None else _as_one_layer(path, model)


def _as_one_layer(path: Path, model: keras.Model) -> keras.Model:
    """A model with a `call` of its own as the only layer of a functional one: uncuttable inside.

    Of a subclassed one Keras stores the shape it was built with, not the dtype; float32 is taken.
    """
    if hasattr(model, "operations"):
        entries = keras.tree.map_structure(
            lambda tensor: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=tensor.name),
            model.input,
        )
        return keras.Model(entries, model(entries), name=model.name)
    shape = (model.get_build_config() or {}).get("input_shape")
    names = [
        name
        for name in inspect.signature(model.call).parameters
        if name not in ("training", "mask")
    ]
    inputs: Any = None
    if isinstance(shape, dict):
        inputs = {name: keras.Input(size[1:], name=name) for name, size in shape.items()}
    elif shape and all(size is None or isinstance(size, int) for size in shape):
        inputs = keras.Input(shape[1:], name=names[0])
    if inputs is None:
        raise UserError(
            f"{path}: the inputs of the class {type(model).__name__} are not stored in the file: "
            "save the model with `model.export(folder)` and name that folder"
        )
    return keras.Model(inputs, model(inputs), name=model.name)


def _functional(path: Path, model: keras.Sequential) -> keras.Model:
    """Rebuilt, because Keras stores the batch size of the first call where there was no Input."""
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
    return {producer(tensor).operation.name: tensor for tensor in model.inputs}


def named_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A functional model's outputs by name: the keys of a dictionary, else the layers' names."""
    if isinstance(model.output, dict):
        return dict(model.output)
    found: dict[str, keras.KerasTensor] = {}
    for tensor in model.outputs:
        source = producer(tensor)
        name = source.operation.name
        found[name if source.outputs == 1 else f"{name}_{source.index}"] = tensor
    return found


def make_flat(model: keras.Model) -> FlatModel:
    """A functional model as one graph, nested models with it. To be done once to a model."""
    return flatten(model, named_inputs(model), named_outputs(model))


def tapped(flat: FlatModel, taps: list[str]) -> keras.Model:
    """The part of a model that computes the named outputs or inner layers.

    Takes and gives dictionaries by name; its layers and weights are the model's own.
    """
    tensors = {**flat.cuts(), **flat.outputs}
    return keras.Model(flat.inputs, {tap: tensors[tap] for tap in taps}, name=flat.name)


def activation_of(layer: Any) -> str | None:
    """The name of the activation that ends a layer; None where that is not known.

    Of a model it never is: its attribute of that name may be any step of it.
    """
    if isinstance(layer, keras.Model):
        return None
    if isinstance(layer, keras.layers.Softmax):
        return "softmax"
    return getattr(getattr(layer, "activation", None), "__name__", None)


def _info(tensor: keras.KerasTensor) -> dict[str, Any]:
    return {
        "shape": tuple(tensor.shape[1:]),
        "dtype": keras.backend.standardize_dtype(tensor.dtype),
    }


def read_interface(model: keras.Model) -> Interface:
    """What a functional model takes and gives, and where it can be cut."""
    flat = make_flat(model)

    def output(tensor: keras.KerasTensor) -> OutputInfo:
        layer = flat.path_of(tensor)
        activation = activation_of(flat.operations[layer])
        return OutputInfo(**_info(tensor), activation=activation, layer=layer)

    return Interface(
        format="keras",
        inputs={name: TensorInfo(**_info(t)) for name, t in flat.inputs.items()},
        outputs={name: output(t) for name, t in flat.outputs.items()},
        cuts={name: output(t) for name, t in flat.cuts().items()},
        layers={
            path: LayerInfo(
                inputs=tuple(sorted(flat.feeds[path])),
                weights={
                    name: layer.count_params()
                    for name, layer in weighted_layers(operation, path).items()
                },
            )
            for path, operation in flat.operations.items()
        },
        parameters=model.count_params(),
    )


def _own_name(model: keras.Model, layer: keras.layers.Layer) -> str:
    """A layer's name inside a model, the same in every process.

    A subclassed model's layers are named anew, by a count of all layers so far, each time it is
    made; the attribute that holds one stays.
    """
    if hasattr(model, "operations") or isinstance(model, keras.Sequential):
        return layer.name
    attributes = [name for name, value in vars(model).items() if value is layer]
    return attributes[0] if attributes else f"layer_{model.layers.index(layer)}"


def weighted_layers(operation: Any, name: str) -> dict[str, keras.layers.Layer]:
    """The layers that own weights, by name: the one given, or those inside it if it is a model."""
    if isinstance(operation, keras.Model):
        return {
            path: layer
            for inner in operation.layers
            for path, layer in weighted_layers(
                inner, f"{name}/{_own_name(operation, inner)}"
            ).items()
        }
    return {name: operation} if getattr(operation, "weights", None) else {}


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """Every weight by its path, moving statistics included.

    Layers of one name in two nested models have the same paths, which a number keeps apart.
    """
    paths = unique_names(weight.path for weight in model.weights)
    return dict(zip(paths, map(np.asarray, model.weights), strict=True))


def digest_architecture(path: Path) -> bytes:
    """Digest of the stored architecture and assets (vocabularies), whatever the time stamps say."""
    stored = read_config(path)
    config = _without_addresses({key: stored[key] for key in ("class_name", "config")})
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if name.startswith("assets/"):
                digest.update(name.encode() + archive.read(name))
    return digest.digest()


def _without_addresses(node: Any) -> Any:
    """Keras stores the memory address of what layers share, another one in each process."""
    if isinstance(node, dict):
        return {
            key: _without_addresses(value)
            for key, value in node.items()
            if key != "shared_object_id"
        }
    return [_without_addresses(value) for value in node] if isinstance(node, list) else node
