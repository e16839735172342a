"""The resolved graph in words, as rows of a table."""

import math

import keras

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.layers import shape_text
from tfx_fusion.modules.graph.node_row import NodeRow
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.spec.topology import in_order
from tfx_fusion.modules.submodels.interface import Interface


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
            rows.append(_submodel_row(specification, name, interfaces, fused))
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


def _submodel_row(
    specification: Specification, name: str, interfaces: dict[str, Interface], fused: FusedModel
) -> NodeRow:
    submodel = specification.submodels[name]
    owner, outputs = submodel.same_as, outputs_of(fused, name)
    # Weights that two share count once, where they are imported.
    parameters = {} if owner else interfaces[name].weights_of(outputs)
    unfrozen = {
        layer
        for stage in specification.training.stages
        if name in stage.unfreeze
        for layer in chosen_layers(name, interfaces[name], outputs, stage.unfreeze[name])
    }
    trainable = sum(parameters[layer] for layer in unfrozen)
    return NodeRow(
        name,
        f"same as {owner}" if owner else "sub-model",
        ", ".join(f"{entry} ← {reference}" for entry, reference in submodel.inputs.items()),
        ", ".join(f"{output} {shape_text(tensor)}" for output, tensor in outputs.items()),
        trainable,
        sum(parameters.values()) - trainable,
    )


def outputs_of(fused: FusedModel, name: str) -> dict[str, keras.KerasTensor]:
    """The used outputs of a sub-model by name; of a feature or node, its tensor as `""`."""
    if name in fused.tensors:
        return {"": fused.tensors[name]}
    parts = ((*key.partition("."), tensor) for key, tensor in fused.tensors.items())
    return {output: tensor for source, _, output, tensor in parts if source == name}


def weight_count(weights: list) -> int:
    """How many numbers a list of Keras variables holds."""
    return sum(math.prod(weight.shape) for weight in weights)
