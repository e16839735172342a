"""The layers of a graph: any of Keras's by name, as a specification writes them, and our own."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, UserError, first_line, suggestion
from tfx_fusion.modules.submodels.flatten import scope_name
from tfx_fusion.modules.submodels.interface import Interface, TensorInfo
from tfx_fusion.modules.submodels.stored_config import check_names, stored_code

# Layers that hold code, load files, or are no step of a graph.
NOT_FOR_GRAPHS = frozenset({"InputLayer", "Layer", "Wrapper"})
# The layers that take text.
OF_TEXT = frozenset({"Hashing", "HashedCrossing", "StringLookup", "TextVectorization"})


def check_dtype(class_name: str, tensor: keras.KerasTensor) -> None:
    """Raises ValueError where a layer for numbers is given text; Keras would fail when it runs."""
    if str(tensor.dtype) == "string" and class_name not in OF_TEXT:
        raise ValueError("it takes numbers, not text")


@contextmanager
def own_seed(*of: object) -> Iterator[None]:
    """Layers made inside draw their first values and seeds by `of` alone, whatever came before.

    Keras draws the seeds of initializers and random layers from Python's own generator, also for
    the layers of sub-models that it loads: without this, a head would begin elsewhere where it is
    built from interfaces.
    """
    before = random.getstate()
    random.seed("/".join(map(str, of)))
    try:
        yield
    finally:
        random.setstate(before)


def new_layer(key: str, class_name: str, config: dict[str, Any]) -> keras.layers.Layer:
    """A layer of Keras by its class's name. Raises SpecificationError where it cannot be made."""
    stored = {"class_name": class_name, "config": config}
    for kind, _ in stored_code(stored):
        raise SpecificationError(
            f"{key}: a {kind} layer holds code, and a specification holds none: use another layer"
        )
    try:
        check_names(key, stored)
    except UserError as error:
        raise SpecificationError(str(error)) from error
    usable = {
        name
        for name, value in vars(keras.layers).items()
        if isinstance(value, type)
        and issubclass(value, keras.layers.Layer)
        and name not in NOT_FOR_GRAPHS
    }
    if class_name not in usable:
        raise SpecificationError(
            f"{key}: Keras has no layer of this name for use here; {suggestion(class_name, usable)}"
        )
    try:
        return getattr(keras.layers, class_name)(**config)
    except Exception as error:  # a layer's own code, given a wrong config, may raise anything
        arguments = _arguments(getattr(keras.layers, class_name))
        unknown = [
            f"{key}.{name}: unknown key: {suggestion(name, arguments)}"
            for name in config
            if name not in arguments
        ]
        raise SpecificationError(unknown or [f"{key}: {first_line(error)}"]) from error


def _arguments(layer: type[keras.layers.Layer]) -> set[str]:
    """The names that a layer's config may hold: its own and those of every layer."""
    found = {"name", "dtype", "trainable", "autocast", "activity_regularizer"}
    for owner in layer.__mro__:
        if owner is keras.layers.Layer:
            break
        found.update(inspect.signature(owner).parameters)
    return found - {"self", "args", "kwargs"}


def shape_text(tensor: keras.KerasTensor) -> str:
    """A tensor's shape without the batch and its dtype, as messages show it: `(8, ?) float32`."""
    sizes = ", ".join("?" if size is None else str(size) for size in tensor.shape[1:])
    return f"({sizes}) {keras.backend.standardize_dtype(tensor.dtype)}"


def fitted(
    key: str, name: str, tensor: keras.KerasTensor, reference: str, wanted: TensorInfo
) -> keras.KerasTensor:
    """The tensor as a sub-model's input wants it; integers and floats may change their width."""
    sizes, found = wanted.shape, tuple(tensor.shape[1:])
    fits = len(sizes) == len(found) and all(
        None in (one, other) or one == other for one, other in zip(sizes, found, strict=True)
    )
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    kinds = {
        name.rstrip("0123456789").removeprefix("u").replace("bfloat", "float")
        for name in (dtype, wanted.dtype)
    }
    if not fits or len(kinds) > 1:
        raise SpecificationError(
            f"{key}: the model expects {wanted}, '{reference}' is {shape_text(tensor)}"
        )
    return tensor if dtype == wanted.dtype else Cast(wanted.dtype, name=scope_name(name))(tensor)


@keras.saving.register_keras_serializable(package="tfx_fusion")
class Cast(keras.layers.Layer):
    """The same values in another dtype, `(batch, …)` to `(batch, …)`."""

    def __init__(self, to: str, **options: Any) -> None:
        # Keras would cast floats to the layer's own dtype before `call`, losing what float64 has.
        super().__init__(**{**options, "dtype": "float32", "autocast": False})
        self.supports_masking = True  # a mask goes with the values
        self._to = to

    def call(self, inputs: Any) -> Any:
        return keras.ops.cast(inputs, self._to)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "to": self._to}


@keras.saving.register_keras_serializable(package="tfx_fusion")
class StepMask(keras.layers.Layer):
    """Masks what is no step, given `[values (batch, steps, width), lengths (batch,)]`.

    Returns the values as they are, with the mask `(batch, steps)`. Unlike Keras's `Masking`, which
    goes by the values, it keeps a step that equals the padding.
    """

    def __init__(self, name: str, **options: Any) -> None:
        # In half precision Keras would round the values on their way to a float32 sub-model.
        super().__init__(name=name, **{**options, "autocast": False})
        self.supports_masking = True

    def call(self, inputs: list[Any]) -> Any:
        return keras.ops.copy(inputs[0])

    def compute_mask(self, inputs: list[Any], previous_mask: Any = None) -> Any:
        """Which steps `(batch, steps)` each row has."""
        values, lengths = inputs
        steps = keras.ops.arange(values.shape[1], dtype="int64")
        return keras.ops.less(steps[None, :], keras.ops.cast(lengths, "int64")[:, None])

    def compute_output_spec(self, inputs: list[Any]) -> keras.KerasTensor:
        return keras.KerasTensor(inputs[0].shape, dtype=inputs[0].dtype)


@keras.saving.register_keras_serializable(package="tfx_fusion")
class InterfaceLayer(keras.layers.Layer):
    """Stands for a sub-model of which only the interface is known."""

    def __init__(self, interface: Interface, taps: list[str], name: str) -> None:
        super().__init__(name=name, trainable=False)
        self.supports_masking = True
        self._interface, self._taps = interface, list(taps)

    def compute_output_spec(self, inputs: dict[str, Any]) -> dict[str, keras.KerasTensor]:
        known = self._interface.taps()
        return {
            tap: keras.KerasTensor((None, *known[tap].shape), dtype=known[tap].dtype)
            for tap in self._taps
        }

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: no shape depends on a mask."""
        return None

    def get_config(self) -> dict[str, Any]:
        interface = self._interface.model_dump(mode="json")
        return {"interface": interface, "taps": self._taps, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InterfaceLayer:
        return cls(Interface.model_validate(config["interface"]), config["taps"], config["name"])
