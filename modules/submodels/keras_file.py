"""Sub-models from `.keras` files: Sequential and functional models, cut where asked."""

import hashlib
import inspect
import json
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tfx_fusion.modules.errors import UserError, first_line
from tfx_fusion.modules.keras_compat import all_layers, fresh_layer_names, graph_of, producer
from tfx_fusion.modules.submodels.flatten import Entry, FlatModel, flatten
from tfx_fusion.modules.submodels.interface import (
    Interface,
    LayerInfo,
    OutputInfo,
    TensorInfo,
    unique_names,
)
from tfx_fusion.modules.submodels.repeatable import differing
from tfx_fusion.modules.submodels.stored_config import (
    check_classes,
    import_custom_objects,
    import_hub,
    needs_hub,
    read_config,
)
from tfx_fusion.modules.submodels.text_input import TextInput

# Registered with Keras by its import, for files of presets that take text.
_ = TextInput


@fresh_layer_names()
def load_model(path: Path, custom_objects: Sequence[str] = ()) -> keras.Model:
    """The functional form of a `.keras` file, loaded in Keras's safe mode, without its optimizer.

    `custom_objects` name the classes, as `package.module:Class`, that the file may hold beside
    Keras's and KerasHub's. Raises UserError where the file is damaged, holds code, or a class not
    listed, and where a row's prediction would depend on the batch that the row comes in.
    """
    config = read_config(path)
    with own_classes(custom_objects) as own:
        check_classes(path, config, own)
        if needs_hub(config):
            import_hub()
        try:
            model = keras.saving.load_model(path, own, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises many types here, for the user all are one
            raise UserError(f"{path}: Keras cannot load the model: {first_line(error)}") from error
    _check_free_batch(path, model)
    if isinstance(model, keras.Sequential):
        return _functional(path, model)
    return model if graph_of(model) is not None else _as_one_layer(path, model)


@contextmanager
def own_classes(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Imports the user's own classes of one file; inside, Keras knows these by their names.

    Keras has one registry for the whole process, where the last class of a name stays. Two files
    may have classes of one name: each is loaded with its own, and afterwards a name is again what
    it was first registered for. Also what else these classes' modules register is known inside.
    """
    registry = keras.saving.get_custom_objects()
    before = dict(registry)
    try:
        found = import_custom_objects(names)
        listed = _registered(found.values())
        registered = {keras.saving.get_registered_name(value) for value in found.values()}
        if min(len(found), len(registered)) < len(set(names)):
            raise UserError(
                f"custom_objects: {', '.join(names)}: two of them have one name, so that the file "
                "does not say which of them it holds: rename one and save the model again"
            )
        modules = {name.partition(":")[0] for name in names}
        modules |= {getattr(value, "__module__", "") for value in found.values()}
        for module in modules & sys.modules.keys():
            registry.update(_registered(vars(sys.modules[module]).values()))
        registry.update(listed)
        yield found
    finally:
        registry.update(before)


def _registered(values: Iterable[Any]) -> dict[str, Any]:
    """The classes and functions among some values that are registered with Keras, by that name."""
    known = [value for value in values if inspect.isclass(value) or inspect.isfunction(value)]
    names = [keras.saving.get_registered_name(value) for value in known]
    # Of what is not registered Keras returns its own name, which has no package before it.
    return {name: value for name, value in zip(names, known, strict=True) if ">" in name}


def _check_free_batch(path: Path, model: keras.Model) -> None:
    """Raises UserError for a model whose answer for a row depends on its batch."""
    for layer in all_layers(model):
        if getattr(layer, "stateful", False):
            raise UserError(
                f"{path}: the layer '{layer.name}' is stateful: what it gives for a row depends "
                "on the batches before it, so that rows could not be trained on in any order nor "
                "served: build it with stateful=False and save the model again"
            )
    if isinstance(model, keras.Sequential) or not hasattr(model, "operations"):
        return  # it is rebuilt, or called anew, for batches of any size
    for name, tensor in named_inputs(model).items():
        if tensor.shape and tensor.shape[0] is not None:
            raise UserError(
                f"{path}: the input '{name}' takes batches of {tensor.shape[0]} rows only: build "
                "the model with an Input without a batch size and save it again"
            )


def _as_one_layer(path: Path, model: keras.Model) -> keras.Model:
    """A model with a `call` of its own as the only layer of a functional one: uncuttable inside.

    Of a subclassed one Keras stores the shape it was built with, not the dtype: it is whole numbers
    where its first layer looks them up, else float32.
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
        dtype = "int64" if model.layers and _takes_ids(model.layers[0]) else None
        inputs = keras.Input(shape[1:], dtype=dtype, name=names[0])
    if inputs is None:
        raise UserError(
            f"{path}: the inputs of the class {type(model).__name__} are not stored in the file: "
            "save the model with `model.export(folder)` and name that folder"
        )
    return keras.Model(inputs, model(inputs), name=model.name)


def _functional(path: Path, model: keras.Sequential) -> keras.Model:
    """Rebuilt, because Keras stores the batch size of the first call where there was no Input.

    Nor does it store the dtype of that call, but the one that its first layer computes in. Where
    that layer looks up whole numbers, it is these that the model takes.
    """
    if not model.built:
        raise UserError(f"{path}: the model was saved before it was built; call it once, then save")
    [given] = model.inputs
    dtype = keras.backend.standardize_dtype(given.dtype)
    from_ids = "float" in dtype and _takes_ids(model.layers[0])
    inputs = tensor = keras.Input(
        given.shape[1:], dtype="int64" if from_ids else dtype, name=given.name
    )
    if from_ids:
        # As Keras does when the model is called.
        tensor = Entry(dtype, len(given.shape), f"{given.name}.{dtype}")(inputs)
    for layer in model.layers:
        tensor = layer(tensor)
    return keras.Model(inputs, tensor, name=model.name)


def _takes_ids(layer: Any) -> bool:
    """Whether a layer, or the first in it, looks up whole numbers."""
    if isinstance(layer, keras.layers.Wrapper):
        return _takes_ids(layer.layer)
    if isinstance(layer, keras.Sequential) and layer.layers:
        return _takes_ids(layer.layers[0])
    return isinstance(layer, keras.layers.Embedding | keras.layers.CategoryEncoding)


def named_inputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A functional model's inputs by name: the keys of a dictionary, else the Inputs' names.

    By the Inputs' names also where a dictionary holds lists or dictionaries.
    """
    if _is_flat_dict(model.input):
        return {str(key): tensor for key, tensor in model.input.items()}
    return {producer(tensor).operation.name: tensor for tensor in model.inputs}


def named_outputs(model: keras.Model) -> dict[str, keras.KerasTensor]:
    """A functional model's outputs by name: the keys of a dictionary, else the layers' names.

    Where a layer gives several, by number: `score_0`, `score_1`. In a structure with more levels
    they go by their place: `boxes.0`, `boxes.1`, `label` for `{boxes: [a, b], label: c}`.
    """
    if _is_flat_dict(model.output):
        return {str(key): tensor for key, tensor in model.output.items()}
    several = isinstance(model.output, list | tuple)
    if isinstance(model.output, dict) or (several and any(map(keras.tree.is_nested, model.output))):
        places = keras.tree.flatten_with_path(model.output)
        names = [".".join(map(str, place)) for place, _ in places]
    else:
        sources = [producer(tensor) for tensor in model.outputs]
        names = [
            source.operation.name + (f"_{source.index}" if source.outputs > 1 else "")
            for source in sources
        ]
    counts, seen = Counter(names), Counter[str]()
    for place, name in enumerate(names):
        if counts[name] > 1:
            names[place] = f"{name}_{seen[name]}"
            seen[name] += 1
    return dict(zip(unique_names(names), model.outputs, strict=True))


def _is_flat_dict(structure: Any) -> bool:
    return isinstance(structure, dict) and not any(map(keras.tree.is_nested, structure.values()))


def make_flat(model: keras.Model) -> FlatModel:
    """A functional model as one graph, nested models with it. To be done once to a model."""
    return flatten(model, named_inputs(model), named_outputs(model))


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


def drawn_outputs(model: keras.Model) -> set[str]:
    """The outputs that differ from call to call for the same rows, in inference."""
    inputs, outputs = named_inputs(model), named_outputs(model)
    names = {id(tensor): name for name, tensor in inputs.items()}

    def call(given: Mapping[str, Any]) -> dict[str, Any]:
        tensors = [given[names[id(tensor)]] for tensor in model.inputs]
        found = model(keras.tree.pack_sequence_as(model.input, tensors), training=False)
        by_output = dict(zip(map(id, model.outputs), keras.tree.flatten(found), strict=True))
        return {name: by_output[id(tensor)] for name, tensor in outputs.items()}

    infos = {name: _info(tensor) for name, tensor in inputs.items()}
    return differing(call, {name: (info["shape"], info["dtype"]) for name, info in infos.items()})


def read_interface(model: keras.Model, drawn: Set[str] = frozenset()) -> Interface:
    """What a functional model takes and gives, and where it can be cut.

    Args:
        model: from a file; it is changed.
        drawn: the outputs that differ from call to call.
    """
    flat = make_flat(model)

    def output(tensor: keras.KerasTensor) -> OutputInfo:
        layer = flat.path_of(tensor)
        activation = activation_of(flat.operations[layer])
        return OutputInfo(**_info(tensor), activation=activation, layer=layer)

    return Interface(
        format="keras",
        inputs={name: TensorInfo(**_info(t)) for name, t in flat.inputs.items()},
        outputs={name: output(t).changed(drawn=name in drawn) for name, t in flat.outputs.items()},
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
        entries={name: flat.path_of(tensor) for name, tensor in flat.inputs.items()},
        ids_below=_ids_below(flat),
        most_steps=_most_steps(flat.operations.values()),
        parameters=model.count_params(),
    )


def _ids_below(flat: FlatModel) -> dict[str, int]:
    """The number of embeddings that the ids of each input choose from, where they are known."""
    names = {flat.path_of(tensor): name for name, tensor in flat.inputs.items()}
    found: dict[str, int] = {}
    for path, operation in flat.operations.items():
        # KerasHub's embedding of tokens with their places holds one of Keras's.
        layer = getattr(operation, "token_embedding", operation)
        if not isinstance(layer, keras.layers.Embedding):
            continue
        sources = set(flat.feeds[path])
        for source in flat.feeds[path]:
            if isinstance(flat.operations[source], Entry):
                sources |= flat.feeds[source]
        for name in (names[source] for source in sources & names.keys()):
            found[name] = min(layer.input_dim, found.get(name, layer.input_dim))
    return found


def _most_steps(operations: Iterable[Any]) -> int | None:
    """How long a sequence the positions of a model reach; None where it knows none."""
    positions = [getattr(operation, "position_embedding", operation) for operation in operations]
    lengths = [
        int(layer.sequence_length)
        for layer in positions
        if hasattr(layer, "position_embeddings") and hasattr(layer, "sequence_length")
    ]
    return min(lengths, default=None)


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
