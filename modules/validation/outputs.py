"""Whether losses, class weights and metrics of outputs fit the labels that they learn."""

from __future__ import annotations

from collections.abc import Iterator

from tfx_fusion.modules.errors import Problem, suggestion
from tfx_fusion.modules.spec import CategoryLabel, Label, Output, Specification

# The losses that a label of each type is learnt with, in words and by name.
FITTING_LOSSES: dict[str, tuple[str, tuple[str, ...]]] = {
    "category": ("a crossentropy", ("categorical_crossentropy", "binary_crossentropy")),
    "multi_label": ("binary_crossentropy", ("binary_crossentropy",)),
    "number": (
        "a squared or absolute error", ("mean_squared_error", "mean_absolute_error", "huber"),
    ),
}  # fmt: skip
BINARY_METRICS = ("auc", "precision", "recall")


def output_problems(specification: Specification) -> Iterator[Problem]:
    """Everything in `outputs` that does not fit its label."""
    for name, output in specification.outputs.items():
        label_name = specification.label_name(name)
        label = specification.labels.get(label_name)
        if label is None:
            yield Problem(
                f"outputs.{name}.label",
                f"no label is named '{label_name}'; {suggestion(label_name, specification.labels)}",
                undefined=label_name,
            )
            continue
        fitting, losses = FITTING_LOSSES[label.type]
        if output.loss not in losses:
            yield Problem(
                f"outputs.{name}.loss",
                f"a label of type {label.type} needs {fitting}, found {output.loss}",
            )
        yield from _class_weight_problems(f"outputs.{name}.class_weights", output, label)
        yield from _metric_problems(f"outputs.{name}.metrics", output, label)


def _class_weight_problems(key: str, output: Output, label: Label) -> Iterator[Problem]:
    weights = output.class_weights
    if weights is None:
        return
    if label.type == "number":
        yield Problem(key, "a label of type number has no classes; remove the weights")
    elif label.type == "multi_label":
        yield Problem(
            key,
            "a row of a label of type multi_label has no single class to be weighted by; remove "
            "the weights",
        )
    elif isinstance(weights, dict):
        for text in weights:
            if text not in label.classes:
                hint = suggestion(text, label.classes)
                yield Problem(f"{key}.{text}", f"no class has this name; {hint}")


def _metric_problems(key: str, output: Output, label: Label) -> Iterator[Problem]:
    classes = label.classes if isinstance(label, CategoryLabel) else ()
    for metric in output.metrics:
        fits_type = metric.endswith("error") == (label.type == "number")
        if not fits_type or (metric == "top_3_accuracy" and label.type == "multi_label"):
            yield Problem(key, f"{metric} does not fit a label of type {label.type}")
        elif metric in BINARY_METRICS and output.loss == "categorical_crossentropy":
            yield Problem(key, f"{metric} needs two classes and binary_crossentropy")
        elif metric == "top_3_accuracy" and len(classes) <= 3:
            yield Problem(key, "top_3_accuracy needs more than three classes")
