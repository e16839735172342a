"""A sub-model as one Keras layer."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import keras

from tfx_fusion.modules.submodels import keras_file, saved_model
from tfx_fusion.modules.submodels.flat import nodes_of
from tfx_fusion.modules.submodels.inspection import detect_format
from tfx_fusion.modules.submodels.names import unique


class SubmodelLayer(keras.layers.Layer):
    """A sub-model as one layer, from `{input: tensor}` to `{output: tensor}`, frozen at first.

    It runs in inference mode. A nested model with `trainable=False` still drops out under `fit`,
    and passing `training=False` to it in a functional graph does not help: the outer call
    overwrites the recorded argument. Here the mode is fixed inside `call`, out of reach.
    """

    def __init__(
        self,
        path: Path,
        taps: list[str],
        signature: str | None,
        name: str,
        custom_objects: Sequence[str] = (),
    ) -> None:
        # Its own precision, whatever the new layers around it compute in.
        super().__init__(name=name, dtype="float32", autocast=False)
        self.supports_masking = True
        self._taps = taps
        self._in_training_mode: frozenset[str] = frozenset()
        # A loaded SavedModel must live as long as its functions do; a .keras file has none.
        self.loaded: Any = None
        if detect_format(path) == "keras":
            flat = keras_file.make_flat(keras_file.load_model(path, custom_objects))
            self._inner = keras_file.tapped(flat, taps)
            self._inner.supports_masking = True
            self._paths, self._cuts = flat.paths, flat.cuts()
        else:
            self.loaded = saved_model.load(path)
            picked = saved_model.pick_signature(path, self.loaded, signature)
            self._signature = self.loaded.signatures[picked]
            self._variables = saved_model.as_keras_variables(self._signature)
            # Moving statistics are variables of a SavedModel too, but nothing learns them.
            self._learnable = {name for name, v in self._variables.items() if v.trainable}
        self.built = True
        self.unfreeze(())

    def unfreeze(self, names: Collection[str], training_mode: bool = False) -> None:
        """Makes the named layers (variables of a SavedModel) trainable, and all others not.

        With `training_mode` the named layers and all behind them run as in training when the
        whole model does: Dropout drops, BatchNorm learns its statistics.
        """
        # Keras asks the outer layer first; what is frozen is said by each inner one.
        self.trainable = True
        if self.loaded is not None:
            for name, variable in self._variables.items():
                variable.trainable = name in names and name in self._learnable
            return
        self._inner.trainable = True
        for path, layer in self._weighted_layers().items():
            layer.trainable = path in names
        self._in_training_mode = frozenset(names) if training_mode else frozenset()

    def frozen_variables(self) -> dict[str, keras.Variable]:
        """Every variable that must not move now, moving statistics included, by a unique name.

        In training mode a trained BatchNorm moves its statistics, which no optimizer touches.
        """
        moving = {
            id(variable)
            for path, layer in self._weighted_layers().items()
            if path in self._in_training_mode
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
        """The layers that own weights, by the names a stage unfreezes by; a SavedModel has none."""
        return {
            path: layer
            for inner in ([] if self.loaded is not None else self._inner.layers)
            for path, layer in self._weighted(inner).items()
        }

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """`{input: (batch, …)}` to `{output: (batch, …)}`, by the sub-model's own names."""
        if self.loaded is not None:
            outputs = self._signature(**inputs)
            return {tap: outputs[tap] for tap in self._taps}
        return self.run(self._inner, inputs, training)

    def above(self, cuts: Sequence[str]) -> UpperPart:
        """The part behind inner layers: the same layers and weights, from these on."""
        tensors = [self._cuts[name] for name in cuts]
        return UpperPart(self, cuts, keras.Model(tensors, self._inner.output))

    def run(self, inner: keras.Model, inputs: Any, training: bool) -> dict[str, Any]:
        """Calls the sub-model's graph, or a part of it, in the mode that `unfreeze` has set."""
        if training and self._in_training_mode:
            outputs = self._run_partly_in_training(inner, inputs)
        else:
            outputs = inner(inputs, training=False)
        for layer in inner._flatten_layers():
            if not layer.trainable_variables:
                # Of what is frozen no activity adds to the loss: once embedded, none could.
                layer._clear_losses()
        return outputs

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: where a sub-model gives masks, its outputs carry them already."""
        return None

    def _weighted(self, operation: Any) -> dict[str, keras.layers.Layer]:
        """The layers with weights that an operation is or holds, by the sub-model's names."""
        return keras_file.weighted_layers(operation, self._paths[operation.name])

    def _run_partly_in_training(self, inner: keras.Model, inputs: Any) -> Any:
        """Runs the unfrozen layers, and all behind them, in training mode."""
        in_training = {
            operation.name
            for operation in inner.operations
            if operation.name in self._paths
            and self._in_training_mode & self._weighted(operation).keys()
        }
        for node in nodes_of(inner):
            feeds = {tensor._keras_history.operation.name for tensor in node.input_tensors}
            if feeds & in_training:
                in_training.add(node.operation.name)

        def calling(operation: Any) -> Callable[..., Any]:
            if not getattr(operation, "_call_has_training_arg", False):
                return operation
            mode = operation.name in in_training
            return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": mode})

        standard = inner._standardize_inputs(inputs)
        return inner._run_through_graph(standard, operation_fn=calling)


class UpperPart(keras.layers.Layer):
    """A sub-model from inner layers on, `{layer: (batch, …)}` to `{output: (batch, …)}`.

    Its layers are those of the sub-model's own layer, unfrozen and in training mode where it is.
    """

    def __init__(self, whole: SubmodelLayer, cuts: Sequence[str], inner: keras.Model) -> None:
        super().__init__(name=f"{whole.name}.above", dtype="float32", autocast=False)
        self.supports_masking = True
        inner.supports_masking = True
        self._below, self._inner = list(cuts), inner
        self._run = whole.run  # not `whole`: Keras would count all of its weights among these
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        return self._run(self._inner, [inputs[name] for name in self._below], training)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: where a sub-model gives masks, its outputs carry them already."""
        return None


def by_name(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """A layer's weights by their own names, which no count of layers enters."""
    weights = layer.weights
    return dict(zip(unique(weight.name for weight in weights), weights, strict=True))
