"""The resolved graph as rows to print: every node with its shape and parameters."""

from __future__ import annotations

from dataclasses import dataclass

from tfx_fusion.modules.graph.build import FusedModel, shape_text
from tfx_fusion.modules.graph.topology import in_order
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.submodels.interface import Interface


@dataclass(frozen=True)
class NodeRow:
    """One vertex of the resolved graph."""

    name: str
    kind: str
    inputs: str
    output: str
    trainable: int
    frozen: int


def describe(
    specification: Specification, interfaces: dict[str, Interface], fused: FusedModel
) -> list[NodeRow]:
    """The features, sub-models and nodes in the order of the data, then the outputs.

    A sub-model's layers count as trainable where some stage unfreezes them.
    """
    rows = [
        NodeRow(name, feature.type, "", shape_text(fused.tensors[name]), 0, 0)
        for name, feature in specification.features.items()
    ]
    for name in in_order(specification):
        if name in specification.submodels:
            submodel = specification.submodels[name]
            owner = submodel.same_as
            taps = {
                tensor.removeprefix(f"{name}."): value
                for tensor, value in fused.tensors.items()
                if tensor.startswith(f"{name}.")
            }
            # Weights that two share count once, where they are imported.
            parameters = {} if owner else interfaces[name].weights_of(taps)
            unfrozen = {
                layer
                for stage in specification.training.stages
                if name in stage.unfreeze
                for layer in chosen_layers(name, interfaces[name], taps, stage.unfreeze[name])
            }
            trainable = sum(parameters[layer] for layer in unfrozen)
            rows.append(
                NodeRow(
                    name,
                    f"same as {owner}" if owner else "sub-model",
                    ", ".join(f"{entry} ← {ref}" for entry, ref in submodel.inputs.items()),
                    ", ".join(f"{tap} {shape_text(tensor)}" for tap, tensor in taps.items()),
                    trainable,
                    sum(parameters.values()) - trainable,
                )
            )
            continue
        node = specification.graph[name]
        if isinstance(node, Merge):
            kind, inputs = node.merge, ", ".join(node.inputs)
        else:
            kind, inputs = " → ".join(next(iter(layer)) for layer in node.layers), node.inputs
        layers = fused.layers[name]
        trainable = sum(weight_count(layer.trainable_weights) for layer in layers)
        frozen = sum(weight_count(layer.non_trainable_weights) for layer in layers)
        output = shape_text(fused.tensors[name])
        rows.append(NodeRow(name, kind, inputs, output, trainable, frozen))
    for reference, layer in fused.replacements.items():
        rows.append(
            NodeRow(
                layer.name,
                f"{layer.replace} where missing",
                reference,
                shape_text(fused.tensor_of(reference)),
                weight_count(layer.trainable_weights),
                weight_count(layer.non_trainable_weights),
            )
        )
    for name, given in specification.outputs.items():
        tensor = fused.model.output[name]
        rows.append(NodeRow(name, f"output, {given.loss}", given.from_, shape_text(tensor), 0, 0))
    return rows


def weight_count(weights: list) -> int:
    """How many numbers a list of Keras variables holds."""
    total = 0
    for weight in weights:
        size = 1
        for length in weight.shape:
            size *= length
        total += size
    return total
