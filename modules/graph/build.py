"""The fused model: sub-models, merges and new layers joined as the specification says.

The same code joins real sub-models for training and bare interfaces for a check, so that what a
check accepts is what training builds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import keras

from tfx_fusion.modules.errors import SpecificationError
from tfx_fusion.modules.graph.builder import Builder, shape_text
from tfx_fusion.modules.graph.missing import Replacement
from tfx_fusion.modules.graph.topology import (
    source_of,
)
from tfx_fusion.modules.spec import (
    CategoryLabel,
    Graph,
    Layers,
    MultiLabel,
    NumberLabel,
    Specification,
)
from tfx_fusion.modules.submodels.activation import activation_of
from tfx_fusion.modules.submodels.interface import Interface, OpenSubmodel


@dataclass
class FusedModel:
    """The fused graph and its parts by the names of the specification.

    `model` takes `{feature: (batch, …)}` and gives `{output: (batch, …)}`: probabilities
    `(batch, classes)` or `(batch, 1)` for a category, `(batch, classes)` that do not exclude one
    another for several of them, numbers `(batch, 1)` for a number.
    `tensors` has a sub-model's outputs as `NAME.TAP`; `meant` tells the tensor of each reference.
    `replacements` has, by reference, what stands for a missing feature where its branch joins
    others.
    """

    model: keras.Model
    tensors: dict[str, keras.KerasTensor]
    interfaces: dict[str, Interface] = field(default_factory=dict)
    meant: dict[str, str] = field(default_factory=dict)
    taps: dict[str, list[str]] = field(default_factory=dict)
    submodels: dict[str, keras.layers.Layer] = field(default_factory=dict)
    layers: dict[str, list[keras.layers.Layer]] = field(default_factory=dict)
    replacements: dict[str, Replacement] = field(default_factory=dict)


class InterfaceLayer(keras.layers.Layer):
    """Stands for a sub-model of which only the interface is known."""

    def __init__(self, interface: Interface, taps: list[str], name: str) -> None:
        super().__init__(name=name, trainable=False)
        self.supports_masking = True
        self._outputs = {tap: interface.taps()[tap] for tap in taps}

    def compute_output_spec(self, inputs: dict[str, Any]) -> dict[str, keras.KerasTensor]:
        return {
            tap: keras.KerasTensor((None, *info.shape), dtype=info.dtype)
            for tap, info in self._outputs.items()
        }

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        """None: no shape depends on a mask."""
        return None


def open_interface(name: str, interface: Interface, taps: list[str]) -> keras.layers.Layer:
    """For `build`: an interface in place of the sub-model itself."""
    return InterfaceLayer(interface, taps, name)


def build(
    specification: Specification, interfaces: Mapping[str, Interface], open_submodel: OpenSubmodel
) -> FusedModel:
    """Joins the fused model.

    Raises SpecificationError for unknown inputs or outputs of a sub-model, and for shapes or
    dtypes that clash, each with the key, what was expected and what was found.
    """
    return _FusionBuilder(specification, interfaces, open_submodel).fused()


def build_part(
    graph: Graph, interfaces: Mapping[str, Interface], open_submodel: OpenSubmodel
) -> keras.Model:
    """A part of a graph as a model, from its features to `{reference: (batch, …)}` of its ends."""
    builder = Builder(graph, interfaces, open_submodel)
    builder.join()
    return builder.model(
        {reference: builder.tensor(key, reference) for key, _, reference in graph.ends()}
    )


class _FusionBuilder(Builder):
    def __init__(
        self,
        specification: Specification,
        interfaces: Mapping[str, Interface],
        open_submodel: OpenSubmodel,
    ) -> None:
        super().__init__(specification, interfaces, open_submodel)
        self.specification = specification

    def fused(self) -> FusedModel:
        """The whole model."""
        self.join()
        model = self.model({name: self._output(name) for name in self.specification.outputs})
        return FusedModel(
            model,
            self.tensors,
            self.interfaces,
            self.meant,
            self.taps,
            self.submodels,
            self.layers,
            self.replacements,
        )

    def _output(self, name: str) -> keras.KerasTensor:
        output, label = self.specification.outputs[name], self.specification.label_of(name)
        key = f"outputs.{name}.from"
        tensor = self.tensor(key, output.from_)
        units, why = 1, f"a label of type number, {output.loss}"
        if isinstance(label, CategoryLabel):
            if output.loss == "binary_crossentropy":
                why = "binary_crossentropy"
                if len(label.classes) != 2:
                    raise SpecificationError(
                        [
                            f"outputs.{name}.loss: binary_crossentropy needs a label of two "
                            f"classes, found {len(label.classes)}: use categorical_crossentropy"
                        ]
                    )
            else:
                units, why = len(label.classes), f"{len(label.classes)} classes"
        elif isinstance(label, MultiLabel):
            units, why = len(label.classes), f"{len(label.classes)} classes"
        if tuple(tensor.shape[1:]) != (units,):
            raise SpecificationError(
                [f"{key}: expected ({units}) for {why}, found {shape_text(tensor)}"]
            )
        activation: Any = "linear"
        if not isinstance(label, NumberLabel) and self._gives_logits(name):
            activation = "sigmoid" if output.loss == "binary_crossentropy" else "softmax"
        # Predictions leave in float32 whatever precision the layers before compute in.
        return keras.layers.Activation(activation, dtype="float32", name=f"{name}.prediction")(
            tensor
        )

    def _gives_logits(self, name: str) -> bool:
        """Whether an output's node gives logits: as stated, else as its last layer tells."""
        output = self.specification.outputs[name]
        if output.from_logits is not None:
            return output.from_logits
        source = source_of(output.from_)
        activation = None
        if source in self.interfaces:
            tap = self.tap(f"outputs.{name}.from", output.from_)
            activation = self.interfaces[source].taps()[tap].activation
        elif isinstance(self.specification.graph.get(source), Layers):
            activation = activation_of(self.layers[source][-1])
        if activation is None:
            raise SpecificationError(
                [
                    f"outputs.{name}.from_logits: '{source}' does not tell whether it gives logits "
                    "or probabilities: write from_logits: true or false"
                ]
            )
        if activation == "softmax" and isinstance(self.specification.label_of(name), MultiLabel):
            raise SpecificationError(
                [
                    f"outputs.{name}.from: '{source}' ends in softmax, whose classes exclude one "
                    "another: a label of type multi_label needs logits or sigmoid"
                ]
            )
        return activation not in ("softmax", "sigmoid")
