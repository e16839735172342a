"""The joining of a graph: sub-models, merges and new layers become tensors of Keras."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError, first_line, suggestion
from tfx_fusion.modules.graph.layers import check_dtype, new_layer
from tfx_fusion.modules.graph.merges import check_inputs, new_merge
from tfx_fusion.modules.graph.missing import Absence, Replacement, check_replaceable
from tfx_fusion.modules.graph.topology import (
    in_order,
    references,
    replaced_at,
    source_of,
    upstream,
    used_features,
)
from tfx_fusion.modules.spec import Graph, Layers, Merge, Missing, missing_name
from tfx_fusion.modules.submodels.interface import Interface, OpenSubmodel


class Cast(keras.layers.Layer):
    """The same values in another dtype, `(batch, …)` to `(batch, …)`."""

    def __init__(self, to: str, name: str) -> None:
        super().__init__(name=name, autocast=False)
        self._to = to

    def call(self, inputs: Any) -> Any:
        return keras.ops.cast(inputs, self._to)


def shape_text(tensor: keras.KerasTensor) -> str:
    """A tensor's shape without the batch and its dtype, as messages show it."""
    sizes = ", ".join("?" if size is None else str(size) for size in tensor.shape[1:])
    return f"({sizes}) {keras.backend.standardize_dtype(tensor.dtype)}"


class Builder:
    """Joins the sub-models and nodes of a graph, each after all that feeds it."""

    def __init__(
        self, graph: Graph, interfaces: Mapping[str, Interface], open_submodel: OpenSubmodel
    ) -> None:
        self.graph = graph
        self.interfaces = {name: interfaces[graph.owner(name)] for name in graph.submodels}
        self.open_submodel = open_submodel
        self.inputs = {
            name: keras.Input(feature.tensor_shape, dtype=feature.tensor_dtype, name=name)
            for name, feature in graph.features.items()
        }
        self.tensors: dict[str, keras.KerasTensor] = dict(self.inputs)
        self.meant: dict[str, str] = {}
        self.taps: dict[str, list[str]] = {}
        self.submodels: dict[str, keras.layers.Layer] = {}
        self.layers: dict[str, list[keras.layers.Layer]] = {}
        self.known = upstream(graph)
        self.absent: dict[str, keras.KerasTensor] = {}
        self.replacements: dict[str, Replacement] = {}
        self.replaced: dict[str, keras.KerasTensor] = {}

    def join(self) -> None:
        """Adds every node, each after all that feeds it."""
        for name, feature in self.graph.features.items():
            if feature.type == "sequence" and feature.variable:
                mask = keras.layers.Masking(feature.padding, name=f"{name}.mask")
                self.tensors[name] = mask(self.inputs[name])
        for name in in_order(self.graph):
            if name in self.graph.submodels:
                self._add_submodel(name)
            else:
                self._add_node(name, self.graph.graph[name])

    def model(self, outputs: dict[str, keras.KerasTensor]) -> keras.Model:
        """The model from the features that are used to some outputs."""
        inputs = {name: self.inputs[name] for name in used_features(self.graph)}
        inputs |= {name: tensor for name, tensor in self.inputs.items() if name not in self.known}
        return keras.Model(inputs, outputs, name="fused")

    def tap(self, key: str, reference: str) -> str:
        """The output of a sub-model that a reference means."""
        name, _, wanted = reference.partition(".")
        interface = self.interfaces[name]
        wanted = wanted or self.graph.submodels[name].output or ""
        if not wanted:
            if len(interface.outputs) > 1:
                raise SpecificationError(
                    [
                        f"submodels.{name}.output: the model has the outputs "
                        f"{', '.join(interface.outputs)}: name one here, or write "
                        f"'{name}.OUTPUT' in {key}"
                    ]
                )
            return next(iter(interface.outputs))
        if wanted not in interface.taps():
            kind = "output" if interface.format == "saved_model" else "output or inner layer"
            place = key if "." in reference else f"submodels.{name}.output"
            raise SpecificationError(
                [
                    f"{place}: the model has no {kind} '{wanted}'; "
                    f"{suggestion(wanted, interface.taps())}"
                ]
            )
        return wanted

    def tensor(self, key: str, reference: str) -> keras.KerasTensor:
        """The tensor that a reference means, `(batch, …)`."""
        name = source_of(reference)
        if name in self.interfaces:
            name = f"{name}.{self.tap(key, reference)}"
        self.meant[reference] = name
        return self.tensors[name]

    def _taken(self, key: str, name: str, reference: str) -> keras.KerasTensor:
        """The tensor that a node takes for a reference: replaced where a feature is missing."""
        tensor = self.tensor(key, reference)
        feature = replaced_at(self.graph, self.known, name, reference)
        missing = self.graph.features[feature].missing if feature else None
        if missing is None:
            return tensor
        if reference not in self.replaced:
            try:
                check_replaceable(missing, tensor)
            except ValueError as error:
                raise SpecificationError(
                    [f"features.{feature}.missing: at {key}, '{reference}' "
                     f"{shape_text(tensor)}: {error}"]
                ) from error  # fmt: skip
            layer = Replacement(missing.replace, f"{self.meant[reference]}.replaced")
            self.replacements[reference] = layer
            self.replaced[reference] = layer(tensor, self._absent(feature, missing))
        return self.replaced[reference]

    def _absent(self, feature: str, missing: Missing) -> keras.KerasTensor:
        """Which rows go without a feature; one draw for all places where it is replaced."""
        if feature not in self.absent:
            column = missing_name(feature)
            self.inputs[column] = keras.Input((), dtype="int64", name=column)
            self.absent[feature] = Absence(missing.drop, f"{feature}.absent")(self.inputs[column])
        return self.absent[feature]

    def _add_submodel(self, name: str) -> None:
        submodel, interface = self.graph.submodels[name], self.interfaces[name]
        problems = [
            f"submodels.{name}.inputs.{entry}: the model has no such input; "
            f"{suggestion(entry, interface.inputs)}"
            for entry in submodel.inputs
            if entry not in interface.inputs
        ] + [
            f"submodels.{name}.inputs: the model's input '{entry}' {info} is not connected"
            for entry, info in interface.inputs.items()
            if entry not in submodel.inputs
        ]
        if problems:
            raise SpecificationError(problems)
        inputs = {}
        owner = self.graph.owner(name)
        for entry, reference in submodel.inputs.items():
            key = f"submodels.{name}.inputs.{entry}"
            inputs[entry] = _fitting(
                key, f"{name}.{entry}", self._taken(key, name, reference), reference,
                interface.inputs[entry],
            )  # fmt: skip
        if owner not in self.submodels:
            self.taps[owner] = self._taps(owner)
            self.submodels[owner] = self.open_submodel(owner, interface, self.taps[owner])
        for tap, tensor in self.submodels[owner](inputs).items():
            self.tensors[f"{name}.{tap}"] = tensor

    def _taps(self, name: str) -> list[str]:
        """Every output of an imported sub-model that something refers to, in a fixed order."""
        return sorted(
            {
                self.tap(key, reference)
                for key, _, reference in references(self.graph)
                if source_of(reference) in self.interfaces
                and self.graph.owner(source_of(reference)) == name
            }
        )

    def _add_node(self, name: str, node: Merge | Layers) -> None:
        key = f"graph.{name}"
        if isinstance(node, Merge):
            tensors = [self._taken(f"{key}.inputs", name, reference) for reference in node.inputs]
            try:
                check_inputs(node.merge, tensors)
                layer = new_merge(node.merge, name, node.config)
                self.tensors[name] = layer(tensors)
            except (ValueError, TypeError) as error:
                shapes = ", ".join(
                    f"{reference} {shape_text(tensor)}"
                    for reference, tensor in zip(node.inputs, tensors, strict=True)
                )
                raise SpecificationError(
                    [f"{key}: {node.merge} cannot join {shapes}: {first_line(error)}"]
                ) from error
            self.layers[name] = [layer]
            return
        tensor = self.tensor(f"{key}.inputs", node.inputs)
        self.layers[name] = []
        for position, item in enumerate(node.layers):
            [(class_name, config)] = item.items()
            place = f"{key}.layers.{position}.{class_name}"
            last = position == len(node.layers) - 1
            layer_name = name if last else f"{name}.{position}"
            layer = new_layer(place, class_name, {**config, "name": layer_name})
            try:
                check_dtype(class_name, tensor)
                received, tensor = tensor, layer(tensor)
            except (
                Exception
            ) as error:  # a layer's own code, given another shape, may raise anything
                raise SpecificationError(
                    [
                        f"{place}: it does not fit its input {shape_text(tensor)}: "
                        f"{first_line(error)}"
                    ]
                ) from error
            if not isinstance(tensor, keras.KerasTensor):
                raise SpecificationError(
                    [f"{place}: it gives several tensors for {shape_text(received)}, one is needed"]
                )
            self.layers[name].append(layer)
        self.tensors[name] = tensor


def _fitting(
    key: str, name: str, tensor: keras.KerasTensor, reference: str, wanted: Any
) -> keras.KerasTensor:
    """The tensor as a sub-model's input wants it; integers and floats may change their width."""
    sizes, found = wanted.shape, tuple(tensor.shape[1:])
    fits = len(sizes) == len(found) and all(
        None in (one, other) or one == other for one, other in zip(sizes, found, strict=True)
    )
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    kinds = [name.rstrip("0123456789").removeprefix("u") for name in (dtype, wanted.dtype)]
    if not fits or kinds[0].replace("bfloat", "float") != kinds[1].replace("bfloat", "float"):
        raise SpecificationError(
            [f"{key}: the model expects {wanted}, '{reference}' is {shape_text(tensor)}"]
        )
    if dtype == wanted.dtype:
        return tensor
    return Cast(wanted.dtype, name=name)(tensor)
