"""The fusion graph as names alone: what feeds what, and in which order. No Keras in here."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from modules.errors import SpecificationError, suggestion
from modules.spec import ImageFeature, Merge, NumberLabel, Specification, stored

RESERVED = {"row_id": "it names the rows in every message"}


def source_of(reference: str) -> str:
    """The feature, sub-model or node that a reference such as `vision.pooled` starts from."""
    return reference.split(".", 1)[0]


def references(specification: Specification) -> Iterator[tuple[str, str, str]]:
    """Each connection as (key in the specification, name of the consumer, reference)."""
    for name, submodel in specification.submodels.items():
        for entry, reference in submodel.inputs.items():
            yield f"submodels.{name}.inputs.{entry}", name, reference
    for name, node in specification.graph.items():
        inputs = node.inputs if isinstance(node, Merge) else (node.inputs,)
        for reference in inputs:
            yield f"graph.{name}.inputs", name, reference
    for name, output in specification.outputs.items():
        yield f"outputs.{name}.from", f"outputs.{name}", output.from_


def used_features(specification: Specification) -> list[str]:
    """The features that enter the graph, in the specification's order; slices may use others."""
    used = {source_of(reference) for _, _, reference in references(specification)}
    return [name for name in specification.features if name in used]


def ordered_nodes(specification: Specification) -> list[str]:
    """The names of sub-models and nodes, each after all that feeds it.

    Raises SpecificationError with every unknown, doubled or unused name, and with a cycle.
    """
    problems = list(_name_problems(specification))
    known = {*specification.features, *specification.submodels, *specification.graph}
    feeds: dict[str, set[str]] = {
        name: set() for name in (*specification.submodels, *specification.graph)
    }
    used: set[str] = set(specification.evaluation.slices)
    for key, consumer, reference in references(specification):
        source = source_of(reference)
        if source not in known:
            problems.append(f"{key}: nothing is named '{source}'; {suggestion(source, known)}")
        elif "." in reference and source not in specification.submodels:
            problems.append(f"{key}: '{source}' has one output only: write '{source}'")
        else:
            used.add(source)
            if consumer in feeds and source in feeds:
                feeds[consumer].add(source)
    for kind, names in (
        ("features", specification.features),
        ("submodels", specification.submodels),
        ("graph", specification.graph),
    ):
        problems += [
            f"{kind}.{name}: nothing uses it; connect it or take it out"
            for name in names
            if name not in used
        ]
    if problems:
        raise SpecificationError(problems)
    try:
        return list(TopologicalSorter(feeds).static_order())
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise SpecificationError(
            [f"graph: the connections go round in a circle: {circle}"]
        ) from None


def _name_problems(specification: Specification) -> Iterator[str]:
    places: dict[str, str] = {}
    for kind, names in (
        ("features", specification.features),
        ("submodels", specification.submodels),
        ("graph", specification.graph),
    ):
        for name in names:
            if name in RESERVED:
                yield f"{kind}.{name}: the name is taken: {RESERVED[name]}"
            if name in places:
                yield f"{kind}.{name}: {places[name]} has one of this name already; rename either"
            places.setdefault(name, kind)
    imported = [name for name, item in specification.submodels.items() if item.same_as is None]
    for name, submodel in specification.submodels.items():
        if submodel.same_as is not None and submodel.same_as not in imported:
            hint = suggestion(submodel.same_as, imported)
            yield f"submodels.{name}.same_as: no '{submodel.same_as}' is imported; {hint}"
    for name in specification.labels:
        if name in RESERVED:
            yield f"labels.{name}: the name is taken: {RESERVED[name]}"
        if name in specification.features:
            yield f"labels.{name}: features has one of this name already; rename either"
    yield from _output_problems(specification)


def _output_problems(specification: Specification) -> Iterator[str]:
    labels = set()
    for name, output in specification.outputs.items():
        label_name = specification.label_name(name)
        labels.add(label_name)
        if label_name not in specification.labels:
            hint = suggestion(label_name, specification.labels)
            yield f"outputs.{name}.label: no label is named '{label_name}'; {hint}"
            continue
        label = specification.labels[label_name]
        is_number = isinstance(label, NumberLabel)
        if is_number == output.loss.endswith("crossentropy"):
            kind, fits = ("number", "a squared or absolute error") if is_number else (
                "category", "a crossentropy")  # fmt: skip
            yield f"outputs.{name}.loss: a label of type {kind} needs {fits}, found {output.loss}"
        weights = output.class_weights
        classes = () if isinstance(label, NumberLabel) else label.classes
        if weights is not None and is_number:
            yield f"outputs.{name}.class_weights: a label of type number has no classes"
        elif isinstance(weights, dict):
            for text in weights:
                if text not in classes:
                    hint = suggestion(text, classes)
                    yield f"outputs.{name}.class_weights.{text}: no class has this name; {hint}"
        for metric in output.metrics:
            if is_number != metric.endswith("error"):
                kind = "number" if is_number else "category"
                yield f"outputs.{name}.metrics: {metric} does not fit a label of type {kind}"
            elif metric == "auc" and output.loss != "binary_crossentropy":
                yield f"outputs.{name}.metrics: auc needs two classes and binary_crossentropy"
            elif metric == "top_3_accuracy" and len(classes) <= 3:
                yield f"outputs.{name}.metrics: top_3_accuracy needs more than three classes"
    for name in specification.labels:
        if name not in labels:
            yield f"labels.{name}: no output learns it; add an output or take it out"
    for name, thresholds in specification.evaluation.thresholds.items():
        if name not in specification.outputs:
            hint = suggestion(name, specification.outputs)
            yield f"evaluation.thresholds.{name}: no output has this name; {hint}"
            continue
        for metric in thresholds:
            if metric not in specification.outputs[name].metrics:
                yield (
                    f"evaluation.thresholds.{name}.{metric}: outputs.{name}.metrics does not "
                    f"list it; add it there"
                )
    for name in specification.evaluation.slices:
        if name not in specification.features:
            hint = suggestion(name, specification.features)
            yield f"evaluation.slices: no feature is named '{name}'; {hint}"
        elif stored(specification.features[name]).shape or isinstance(
            specification.features[name], ImageFeature
        ):
            yield f"evaluation.slices: '{name}' has no single value a row to slice by"
