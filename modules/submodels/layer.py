"""A sub-model as one Keras layer, and the graph inside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.keras_compat import (
    all_layers,
    calls_of,
    discard_losses,
    producer,
    run_graph,
    takes_training,
)
from tfx_fusion.modules.spec import Graph
from tfx_fusion.modules.submodels import keras_file, saved_model
from tfx_fusion.modules.submodels.inspection import copied_submodel, detect_format
from tfx_fusion.modules.submodels.interface import Interface, OpenSubmodel, unique_names


def opener(graph: Graph, folders: Mapping[str, Path]) -> OpenSubmodel:
    """For `build`: opens the sub-models of a graph from the folders of their imported copies."""

    def open_submodel(name: str, interface: Interface, taps: list[str]) -> SubmodelLayer:
        submodel = graph.submodels[name]
        path = copied_submodel(folders[name])
        return SubmodelLayer(
            path, taps, submodel.signature, name, submodel.custom_objects, submodel.allow_ops
        )

    return open_submodel


@dataclass
class KerasGraph:
    """A functional model, or a part of one, whose layers are frozen and unfrozen one by one.

    `inner` leads to `{output: (batch, …)}`, `cuts` has by path the tensors at which it can be cut.
    `paths` has the path of each operation by the name that Keras knows it by. The layers at
    `in_training_mode` run as in training when the whole model does; parts of one graph share it.
    `custom_objects` name the classes of the user's own in it.
    """

    inner: keras.Model
    cuts: dict[str, keras.KerasTensor]
    paths: dict[str, str]
    in_training_mode: set[str] = field(default_factory=set)
    custom_objects: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # A functional model's masks are those of its operations: none is handed from its inputs to
        # its outputs. To say so keeps Keras from warning that an input's mask is destroyed.
        self.inner.supports_masking = True
        self.inner.compute_mask = lambda inputs, previous_mask: None

    @classmethod
    def load(cls, path: Path, taps: list[str], custom_objects: Sequence[str]) -> KerasGraph:
        """What computes the named outputs or inner layers of a `.keras` file."""
        flat = keras_file.make_flat(keras_file.load_model(path, custom_objects))
        cuts = flat.cuts()
        tensors = {**cuts, **flat.outputs}
        # A part of the model, of the model's own layers and weights.
        # Without inputs that these do not need, as of a model's other tower.
        needed = flat.behind(flat.path_of(tensors[tap]) for tap in taps)
        inputs = {name: t for name, t in flat.inputs.items() if flat.path_of(t) in needed}
        inner = keras.Model(inputs, {tap: tensors[tap] for tap in taps}, name=flat.name)
        inside = {id(operation) for operation in inner.operations}
        cuts = {path: t for path, t in cuts.items() if id(producer(t).operation) in inside}
        return cls(inner, cuts, flat.paths, custom_objects=tuple(custom_objects))

    def above(self, cuts: Sequence[str]) -> KerasGraph:
        """The part behind inner layers, from a list of tensors: the same layers and weights.

        Without those outputs that inner layers give themselves, see `given_below`.
        """
        below = self.given_below(cuts)
        outputs = {tap: t for tap, t in self.inner.output.items() if tap not in below}
        upper = keras.Model([self.cuts[name] for name in cuts], outputs)
        return KerasGraph(upper, {}, self.paths, self.in_training_mode, self.custom_objects)

    def given_below(self, cuts: Sequence[str]) -> dict[str, str]:
        """The outputs that come straight from inner layers where it is cut: `{output: layer}`."""
        cut_at = {id(self.cuts[name]): name for name in cuts}
        outputs = self.inner.output.items()
        return {tap: cut_at[id(tensor)] for tap, tensor in outputs if id(tensor) in cut_at}

    def weighted_layers(self) -> dict[str, keras.layers.Layer]:
        """The layers that own weights, by the names that a stage unfreezes by."""
        return {
            path: layer
            for operation in self.inner.layers
            for path, layer in self._weighted(operation).items()
        }

    def _weighted(self, operation: Any) -> dict[str, keras.layers.Layer]:
        # The inputs of an upper part are new operations, without a path.
        name = self.paths.get(operation.name, operation.name)
        return keras_file.weighted_layers(operation, name)

    def unfreeze(self, names: Collection[str], training_mode: bool) -> None:
        """Makes the named layers trainable and all others not; see `SubmodelLayer.unfreeze`."""
        # Of a layer inside a frozen one Keras trains nothing: first all, then each by itself.
        self.inner.trainable = True
        for path, layer in self.weighted_layers().items():
            layer.trainable = path in names
        self.in_training_mode.clear()
        if training_mode:
            self.in_training_mode.update(names)

    def run(self, inputs: Any, training: bool) -> dict[str, Any]:
        """Calls the graph in the mode that `unfreeze` has set."""
        if training and self.in_training_mode:
            outputs = self._run_partly_in_training(inputs)
        else:
            outputs = self.inner(inputs, training=False)
        for layer in all_layers(self.inner):
            if not layer.trainable_variables:
                # Of what is frozen no activity adds to the loss: once embedded, none could.
                discard_losses(layer)
        return outputs

    def _run_partly_in_training(self, inputs: Any) -> Any:
        """Runs the unfrozen layers, and all behind them, in training mode."""
        in_training = {
            operation.name
            for operation in self.inner.operations
            if self.in_training_mode & self._weighted(operation).keys()
        }
        for node in calls_of(self.inner):
            feeds = {producer(tensor).operation.name for tensor in node.input_tensors}
            if feeds & in_training:
                in_training.add(node.operation.name)

        def in_its_mode(operation: Any) -> Callable[..., Any]:
            if not takes_training(operation):
                return operation
            mode = operation.name in in_training
            return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": mode})

        return run_graph(self.inner, inputs, in_its_mode)

    def get_config(self) -> dict[str, Any]:
        """All but the values of weights, which Keras stores with the layer that has `inner`."""
        # One model to all tensors that are needed again, so that Keras finds them by itself.
        whole = keras.Model(
            self.inner.input, {"outputs": self.inner.output, "cuts": self.cuts}, name="whole"
        )
        layers = self.weighted_layers()
        return {
            "model": keras.saving.serialize_keras_object(whole),
            "paths": self.paths,
            "unfrozen": [path for path, layer in layers.items() if layer.trainable],
            "training_mode": bool(self.in_training_mode),
            "custom_objects": list(self.custom_objects),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> KerasGraph:
        """The graph that `get_config` describes, with new weights.

        A file imports nothing: classes of the user's own must have been imported, as for Keras.
        """
        own = tuple(config.get("custom_objects", ()))
        with keras_file.own_classes([n for n in own if n.partition(":")[0] in sys.modules]):
            whole = keras.saving.deserialize_keras_object(config["model"])
        inner = keras.Model(whole.input, whole.output["outputs"])
        graph = cls(inner, whole.output["cuts"], config["paths"], custom_objects=own)
        graph.unfreeze(config["unfrozen"], config["training_mode"])
        return graph


class _FrozenByPart(keras.layers.Layer):
    """A layer whose weights are frozen and unfrozen by name, never by `trainable = True`.

    A model that Keras loads sets `trainable` on all of its layers, which set it on all in them:
    everything frozen would train again. Here True restores what was unfrozen by name.
    """

    def __init__(self, name: str) -> None:
        # Its own precision, whatever the new layers around it compute in.
        super().__init__(name=name, dtype="float32", autocast=False)
        self.supports_masking = True

    @property
    def trainable(self) -> bool:
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: where a sub-model gives masks, its outputs carry them already."""
        return None


@keras.saving.register_keras_serializable(package="tfx_fusion")
class SubmodelLayer(_FrozenByPart):
    """A sub-model as one layer, from `{input: tensor}` to `{output: tensor}`, frozen at first.

    It runs in inference mode. A nested model with `trainable=False` still drops out under `fit`,
    and passing `training=False` to it in a functional graph does not help: the outer call
    overwrites the recorded argument. Here the mode is fixed inside `call`, out of reach.

    Args:
        source: a `.keras` file, a SavedModel folder, or a graph at hand.
        taps: the outputs (of a `.keras` file inner layers, too) that the layer gives.
        signature: which of a SavedModel's signatures is called.
        name: the layer's.
        custom_objects: classes that a `.keras` file may hold, as `package.module:Class`.
        allow_ops: operations that a SavedModel may hold beside those that are known to be safe.

    Raises UserError where the sub-model cannot be loaded or is unsafe.
    """

    def __init__(
        self,
        source: Path | KerasGraph,
        taps: list[str],
        signature: str | None,
        name: str,
        custom_objects: Sequence[str] = (),
        allow_ops: Sequence[str] = (),
    ) -> None:
        super().__init__(name)
        self._taps = taps
        # A loaded SavedModel must live as long as its functions do; a .keras file has none.
        self.loaded: Any = None
        if not isinstance(source, KerasGraph) and detect_format(source) == "saved_model":
            self.loaded = saved_model.load(source, allow_ops)
            picked = saved_model.pick_signature(source, self.loaded, signature)
            self._signature = self.loaded.signatures[picked]
            self._variables = saved_model.as_keras_variables(self._signature)
            # Moving statistics are variables of a SavedModel too, but nothing learns them.
            self._learnable = {name for name, v in self._variables.items() if v.trainable}
            self.unfreeze(())
        elif isinstance(source, KerasGraph):
            self._graph = source
        else:
            self._graph = KerasGraph.load(source, taps, custom_objects)
            self.unfreeze(())
        if self.loaded is None:
            self._inner = self._graph.inner  # as an attribute, for Keras to track and save
        self.built = True

    def unfreeze(self, names: Collection[str], training_mode: bool = False) -> None:
        """Makes the named layers (variables of a SavedModel) trainable, and all others not.

        With `training_mode` the named layers and all behind them run as in training when the
        whole model does: Dropout drops, BatchNorm learns its statistics.
        """
        self.trainable = True
        if self.loaded is None:
            self._graph.unfreeze(names, training_mode)
            return
        for name, variable in self._variables.items():
            variable.trainable = name in names and name in self._learnable

    def frozen_variables(self) -> dict[str, keras.Variable]:
        """Every variable that must not change now, moving statistics included, by a unique name.

        In training mode a trained BatchNorm changes its statistics, which no optimizer touches.
        """
        moving = {
            id(variable)
            for path, layer in self._weighted_layers().items()
            if path in self._graph.in_training_mode
            for variable in layer.variables
        }
        trained = {id(variable) for variable in self.trainable_variables}
        return {
            f"{position}/{variable.path}": variable
            for position, variable in enumerate(self.weights)
            if id(variable) not in trained | moving
        }

    def named_weights(self) -> dict[str, keras.Variable]:
        """Every weight as `LAYER/VARIABLE`, the same in every process, however it is cut."""
        if self.loaded is not None:
            return dict(self._variables)
        return {
            f"{path}/{name}": variable
            for path, layer in self._weighted_layers().items()
            for name, variable in by_name(layer).items()
        }

    def _weighted_layers(self) -> dict[str, keras.layers.Layer]:
        return {} if self.loaded is not None else self._graph.weighted_layers()

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """`{input: (batch, …)}` to `{output: (batch, …)}`, by the sub-model's own names."""
        if self.loaded is not None:
            outputs = self._signature(**inputs)
            return {tap: outputs[tap] for tap in self._taps}
        return self._graph.run(inputs, training)

    def above(self, cuts: Sequence[str]) -> UpperPart:
        """The part behind inner layers: the same layers and weights, from these on."""
        graph = self._graph
        return UpperPart(graph.above(cuts), cuts, f"{self.name}.above", graph.given_below(cuts))

    def get_config(self) -> dict[str, Any]:
        """Raises UserError for a SavedModel, whose graph and assets Keras's format cannot hold."""
        if self.loaded is not None:
            raise UserError(
                f"the sub-model '{self.name}' is a SavedModel, which a .keras file cannot hold: "
                "use the SavedModel that the pipeline publishes, or model.export()"
            )
        return {"name": self.name, "taps": list(self._taps), "graph": self._graph.get_config()}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SubmodelLayer:
        graph = KerasGraph.from_config(config["graph"])
        return cls(graph, config["taps"], None, config["name"])


@keras.saving.register_keras_serializable(package="tfx_fusion")
class UpperPart(_FrozenByPart):
    """A sub-model from inner layers on, `{layer: (batch, …)}` to `{output: (batch, …)}`.

    Its layers are those of the sub-model's own layer, unfrozen and in training mode where it is.
    """

    def __init__(
        self,
        graph: KerasGraph,
        cuts: Sequence[str],
        name: str,
        passed: Mapping[str, str] | None = None,
    ) -> None:
        """`graph` is the part behind the inner layers `cuts`; `passed` are the outputs that are
        an inner layer's own, `{output: layer}`."""
        super().__init__(name)
        self._graph, self._below, self._passed = graph, list(cuts), dict(passed or {})
        self._inner = graph.inner
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        outputs = self._graph.run([inputs[name] for name in self._below], training)
        return {**outputs, **{tap: inputs[cut] for tap, cut in self._passed.items()}}

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "cuts": self._below,
            "graph": self._graph.get_config(),
            "passed": self._passed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> UpperPart:
        graph = KerasGraph.from_config(config["graph"])
        return cls(graph, config["cuts"], config["name"], config["passed"])


def by_name(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """A layer's weights by their own names, which do not depend on how many layers there are."""
    weights = layer.weights
    return dict(zip(unique_names(weight.name for weight in weights), weights, strict=True))
