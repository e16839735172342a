"""Functional models made flat: the layers of nested models become operations of one graph.

Keras hides a nested model behind one node of the outer graph. Here the nested model's own nodes
are called once more, with the outer tensors, so that each of its layers can be cut at and unfrozen
like any other. Layers and weights stay the model's own.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import keras

from tfx_fusion.modules.keras_compat import all_layers, calls_of, graph_of, producer


@dataclass
class FlatModel:
    """One graph. A layer inside a nested model goes by its path, `backbone/conv1`.

    `given` holds by path the tensors that each operation and each nested model gives, `feeds` the
    paths of what an operation takes; both in the order of the data. `paths` has the path of each
    operation by the name that Keras knows it by.
    """

    name: str
    inputs: dict[str, keras.KerasTensor]
    outputs: dict[str, keras.KerasTensor] = field(default_factory=dict)
    operations: dict[str, Any] = field(default_factory=dict)
    given: dict[str, list[keras.KerasTensor]] = field(default_factory=dict)
    feeds: dict[str, set[str]] = field(default_factory=dict)
    paths: dict[str, str] = field(default_factory=dict)

    def cuts(self) -> dict[str, keras.KerasTensor]:
        """The layers and nested models where it can be cut: called once, with one output."""
        entries = (keras.layers.InputLayer, Entry)
        return {
            path: tensors[0]
            for path, tensors in self.given.items()
            if len(tensors) == 1 and not isinstance(self.operations.get(path), entries)
        }

    def behind(self, paths: Iterable[str]) -> set[str]:
        """The paths of all operations that some are computed from, these included."""
        found: set[str] = set()
        left = list(paths)
        while left:
            path = left.pop()
            if path not in found:
                found.add(path)
                left.extend(self.feeds.get(path, ()))
        return found

    def path_of(self, tensor: keras.KerasTensor) -> str:
        """The path of the operation that gives a tensor."""
        return self.paths[producer(tensor).operation.name]


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Entry(keras.layers.Layer):
    """Fits an input to a nested model before its first layers take it, as calling the model would.

    The input gets the dtype and the rank that the model wants, and the mask of the call.
    """

    def __init__(self, to: str, rank: int, name: str) -> None:
        super().__init__(name=name, dtype="float32", autocast=False)
        self.supports_masking = True
        self._to = to
        self._rank = rank

    def call(self, inputs: Any, mask: Any = None) -> Any:
        # A copy: the mask belongs to this call only, the tensor may go elsewhere too.
        tensor = keras.ops.cast(keras.ops.copy(inputs), self._to)
        if len(tensor.shape) > self._rank:
            return keras.ops.squeeze(tensor, axis=-1)
        return keras.ops.expand_dims(tensor, axis=-1) if len(tensor.shape) < self._rank else tensor

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "to": self._to, "rank": self._rank}


def scope_name(name: str) -> str:
    """A name as Keras and TensorFlow take it for a layer: `a b` as `a.20.b`, by the code of each
    character that they do not take."""
    return re.sub(r"^[^A-Za-z0-9.]|[^A-Za-z0-9_.-]", lambda found: f".{ord(found[0]):x}.", name)


def flatten(
    model: keras.Model, inputs: dict[str, keras.KerasTensor], outputs: dict[str, keras.KerasTensor]
) -> FlatModel:
    """Makes a functional model flat; its inputs and outputs get the names given.

    To be done once to a model: it renames the layers inside nested ones.
    """
    flattening = _Flattening(model, inputs)
    tensors = {id(tensor): tensor for tensor in model.inputs}
    flattening.add(model, "", tensors)
    flattening.flat.outputs = {name: tensors[id(tensor)] for name, tensor in outputs.items()}
    return flattening.flat


class _Flattening:
    def __init__(self, model: keras.Model, inputs: dict[str, keras.KerasTensor]) -> None:
        self.flat = FlatModel(model.name, inputs)
        # The outer operations keep their names where they can; those inside nested models give way.
        valid = [o for o in model.operations if scope_name(o.name) == o.name]
        self.flat.paths = {operation.name: operation.name for operation in valid}
        self.named = {id(operation) for operation in valid}
        # Neither can what lies inside of them be used in a graph.
        for layer in all_layers(model):
            if layer not in model.operations:
                layer.name = scope_name(layer.name)

    def add(self, model: Any, prefix: str, tensors: dict[int, Any]) -> None:
        """Adds a model's calls; `tensors` leads from its tensors, by id, to those of the graph."""
        for node in calls_of(model):
            operation, outputs = node.operation, node.outputs
            if not node.is_input:
                args, kwargs = node.arguments.fill_in(tensors)
                graph = graph_of(operation)
                if graph is not None:
                    path = f"{prefix}{operation.name}"
                    outputs = self._nested(path, graph, *args, **kwargs)
                    self.flat.given.setdefault(path, []).extend(outputs)
                else:
                    path = self._name(operation, prefix)
                    if any(tensors[id(tensor)] is not tensor for tensor in node.input_tensors):
                        outputs = keras.tree.flatten(operation(*args, **kwargs))
                    self._note(path, operation, (args, kwargs), outputs)
            elif not prefix:
                self._note(self._name(operation, ""), operation, (), outputs)
            else:
                continue
            tensors.update(zip(map(id, node.outputs), outputs, strict=True))

    def _nested(
        self, path: str, graph: Any, inputs: Any, training: Any = None, mask: Any = None
    ) -> list[Any]:
        """Adds one call of a nested model; its `training` is left to the caller of the whole."""
        if isinstance(inputs, dict) and not isinstance(graph.input, dict):
            inputs = [inputs[tensor.name] for tensor in graph.inputs]
        given = keras.tree.flatten(inputs)
        masks = [None] * len(given) if mask is None else keras.tree.flatten(mask)
        tensors = {
            id(wanted): self._entered(f"{path}/", wanted, *entering)
            for wanted, *entering in zip(graph.inputs, given, masks, strict=False)
        }
        self.add(graph, f"{path}/", tensors)
        return [tensors[id(tensor)] for tensor in graph.outputs]

    def _entered(self, prefix: str, wanted: keras.KerasTensor, given: Any, mask: Any) -> Any:
        """What the first layers of a nested model take for one of its inputs."""
        fits = given is None or (
            given.dtype == wanted.dtype and len(given.shape) == len(wanted.shape) and mask is None
        )  # None: an optional input
        if fits:
            return given
        to = keras.backend.standardize_dtype(wanted.dtype)
        entry = Entry(to, len(wanted.shape), wanted.name)
        entered = entry(given, mask=mask)
        self._note(self._name(entry, prefix), entry, (given, mask), [entered])
        return entered

    def _name(self, operation: Any, prefix: str) -> str:
        """The path of an operation, to which it gives a unique name when it meets it first."""
        if id(operation) not in self.named:
            path = f"{prefix}{operation.name}"
            name = scope_name(path.replace("/", "."))
            while name in self.flat.paths:
                name += "_"
            operation.name = name
            self.flat.paths[name] = path
            self.named.add(id(operation))
        return self.flat.paths[operation.name]

    def _note(self, path: str, operation: Any, taken: Any, given: list[Any]) -> None:
        """Notes one call of an operation."""
        self.flat.operations[path] = operation
        self.flat.given.setdefault(path, []).extend(given)
        self.flat.feeds.setdefault(path, set()).update(
            self.flat.path_of(tensor)
            for tensor in keras.tree.flatten(taken)
            if isinstance(tensor, keras.KerasTensor)
        )
