"""What the names of a specification must keep together; names alone, without Keras."""

from __future__ import annotations

from collections.abc import Iterator
from graphlib import CycleError

from tfx_fusion.modules.errors import SpecificationError, suggestion
from tfx_fusion.modules.graph.topology import in_order, references, source_of, upstream
from tfx_fusion.modules.spec import CategoryLabel, Specification, may_be_missing
from tfx_fusion.modules.validation.data_checks import check_problems
from tfx_fusion.modules.validation.evaluation import evaluation_problems

RESERVED = {"row_id": "it names the rows in every message"}

# The losses that a label of each type is learnt with, in words and by name.
FITTING_LOSSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "category": ("a crossentropy", ("categorical_crossentropy", "binary_crossentropy")),
    "multi_label": ("binary_crossentropy", ("binary_crossentropy",)),
    "number": (
        "a squared or absolute error", ("mean_squared_error", "mean_absolute_error", "huber"),
    ),
}  # fmt: skip
BINARY_METRICS = ("auc", "precision", "recall")


def ordered_nodes(specification: Specification) -> list[str]:
    """The names of sub-models and nodes, each after all that feeds it.

    Raises SpecificationError with every unknown, doubled or unused name, and with a cycle.
    """
    _check_names(specification)
    try:
        order = in_order(specification)
    except CycleError as error:
        circle = " → ".join(error.args[1])
        raise SpecificationError(
            [f"graph: the connections go round in a circle: {circle}"]
        ) from None
    _check_missing(specification)
    return order


def _check_missing(specification: Specification) -> None:
    known = upstream(specification)
    ends = [source_of(reference) for _, _, reference in specification.ends()]
    problems = [
        f"features.{name}.missing: '{end}' is computed from nothing but this feature, so no row "
        "that lacks it can be predicted: join another feature to it, or take the key away"
        for name in may_be_missing(specification.features)
        for end in dict.fromkeys(ends)
        if known[end] == {name}
    ]
    if problems:
        raise SpecificationError(problems)


def _check_names(specification: Specification) -> None:
    problems = list(_name_problems(specification))
    known = {*specification.features, *specification.submodels, *specification.graph}
    used = {name for names in specification.evaluation.sliced_by() for name in names}
    for key, _, reference in references(specification):
        source = source_of(reference)
        if source not in known:
            problems.append(f"{key}: nothing is named '{source}'; {suggestion(source, known)}")
        elif "." in reference and source not in specification.submodels:
            problems.append(f"{key}: '{source}' has one output only: write '{source}'")
        else:
            used.add(source)
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
    yield from check_problems(specification)
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
        fits, losses = FITTING_LOSSES[label.type]
        if output.loss not in losses:
            yield (
                f"outputs.{name}.loss: a label of type {label.type} needs {fits}, "
                f"found {output.loss}"
            )
        weights = output.class_weights
        classes = label.classes if isinstance(label, CategoryLabel) else ()
        if weights is not None and label.type == "number":
            yield f"outputs.{name}.class_weights: a label of type number has no classes"
        elif weights is not None and label.type == "multi_label":
            yield (
                f"outputs.{name}.class_weights: with a label of type multi_label a row has no one "
                "class to weigh it by; take them out"
            )
        elif isinstance(weights, dict):
            for text in weights:
                if text not in classes:
                    hint = suggestion(text, classes)
                    yield f"outputs.{name}.class_weights.{text}: no class has this name; {hint}"
        for metric in output.metrics:
            fits_type = metric.endswith("error") == (label.type == "number")
            if not fits_type or (metric == "top_3_accuracy" and label.type == "multi_label"):
                yield f"outputs.{name}.metrics: {metric} does not fit a label of type {label.type}"
            elif metric in BINARY_METRICS and output.loss == "categorical_crossentropy":
                yield f"outputs.{name}.metrics: {metric} needs two classes and binary_crossentropy"
            elif metric == "top_3_accuracy" and len(classes) <= 3:
                yield f"outputs.{name}.metrics: top_3_accuracy needs more than three classes"
    for name in specification.labels:
        if name not in labels:
            yield f"labels.{name}: no output learns it; add an output or take it out"
    yield from evaluation_problems(specification)
