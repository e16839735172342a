"""The resolved graph in words: as rows of a table and as the boxes of its picture."""

import math
from dataclasses import dataclass
from textwrap import wrap

import keras

from tfx_fusion.modules.graph.build import FusedModel
from tfx_fusion.modules.graph.layers import shape_text
from tfx_fusion.modules.graph.layout import Box, Kind, Learning
from tfx_fusion.modules.graph.unfreeze import chosen_layers
from tfx_fusion.modules.spec import Merge, Specification
from tfx_fusion.modules.spec.topology import in_order, inputs_of, source_of, used_features
from tfx_fusion.modules.submodels.interface import Interface

CHARACTERS = 26  # of a line in a box


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
    owner, outputs = submodel.same_as, _outputs(fused, name)
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


def _outputs(fused: FusedModel, name: str) -> dict[str, keras.KerasTensor]:
    """The used outputs of a sub-model by name; of a feature or node, its tensor as `""`."""
    if name in fused.tensors:
        return {"": fused.tensors[name]}
    parts = ((*key.partition("."), tensor) for key, tensor in fused.tensors.items())
    return {output: tensor for source, _, output, tensor in parts if source == name}


def weight_count(weights: list) -> int:
    """How many numbers a list of Keras variables holds."""
    return sum(math.prod(weight.shape) for weight in weights)


def parameter_text(count: int) -> str:
    """A number of parameters with its noun."""
    return f"{count:,} parameter{'' if count == 1 else 's'}"


def graph_boxes(specification: Specification, rows: list[NodeRow], fused: FusedModel) -> list[Box]:
    """A box for each node, after those that feed it; features that only slices use have none.

    Args:
        specification: the graph.
        rows: what `describe` returns for it.
        fused: the graph as it was built.
    """
    by_name = {row.name: row for row in rows[: -len(specification.outputs)]}
    boxes: dict[str, Box] = {}
    for name in (*used_features(specification), *in_order(specification)):
        row = by_name[name]
        learning: Learning = ""
        inputs: list[tuple[str, str]] = []
        if name in specification.features:
            kind: Kind = "feature"
            missing = ["may be missing"] if specification.features[name].missing else []
            lines = [f"{row.kind} feature", *missing]
        else:
            inputs = list(inputs_of(specification, name))
        if name in specification.submodels:
            kind, owner = "sub-model", specification.owner(name)
            learning, lines = _submodel_learning(specification, by_name[owner])
            lines += _parameter_lines(row) if owner == name else [f"same weights as {owner}"]
            if len(inputs) > 1:
                lines += [f"{key.split('.', 3)[-1]} ← {reference}" for key, reference in inputs]
        elif name in specification.graph:
            kind = "merge" if isinstance(specification.graph[name], Merge) else "new layers"
            # What new layers hold and do not train follows the data, such as the statistics of
            # BatchNormalization: it is not frozen.
            learning = "trainable" if row.trainable else ""
            # No line of a chain begins with an arrow.
            lines = [row.kind.replace(" →", "\u00a0→"), *_parameter_lines(row)]
        outputs = _outputs(fused, name)
        for output, tensor in outputs.items():
            shape = shape_text(tensor).removesuffix(" float32")
            lines.append(f"→ {output} {shape}" if len(outputs) > 1 else f"→ {shape}")
        boxes[name] = _box(name, kind, lines, learning, [boxes[source_of(r)] for _, r in inputs])
    ends = [
        _box(name, "output", ["output", str(output.loss)], "", [boxes[source_of(output.from_)]])
        for name, output in specification.outputs.items()
    ]
    return [*boxes.values(), *ends]


def _box(name: str, kind: Kind, lines: list[str], learning: Learning, sources: list[Box]) -> Box:
    wrapped = [line for text in lines for line in wrap(text, CHARACTERS)]
    return Box(name, kind, wrapped, learning, list(dict.fromkeys(sources)))


def _submodel_learning(specification: Specification, row: NodeRow) -> tuple[Learning, list[str]]:
    stages = specification.training.stages
    unfreezing = [stage.name for stage in stages if row.name in stage.unfreeze]
    if not unfreezing:
        return "frozen", ["frozen sub-model"]
    if len(unfreezing) == len(stages):
        return "partly trainable" if row.frozen else "trainable", [
            "sub-model",
            "unfrozen in every stage",
        ]
    noun = "stage" if len(unfreezing) == 1 else "stages"
    return "partly trainable", ["sub-model", f"unfrozen in {noun} {', '.join(unfreezing)}"]


def _parameter_lines(row: NodeRow) -> list[str]:
    if row.trainable and row.frozen:
        return [f"{parameter_text(row.trainable + row.frozen)},", f"{row.trainable:,} trainable"]
    return [parameter_text(row.trainable + row.frozen)] if row.trainable + row.frozen else []
