"""Whether losses, class weights and metrics of outputs fit the labels that they learn."""

from collections.abc import Iterator

from tfx_fusion.modules.errors import Problem, suggestion
from tfx_fusion.modules.metrics.table import THRESHOLD, facts
from tfx_fusion.modules.spec import Fusion, Label, NumberLabel, Output
from tfx_fusion.modules.spec.losses import LOSSES


def output_problems(specification: Fusion) -> Iterator[Problem]:
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
        if label.type not in output.loss.facts.labels:
            fitting = [loss for loss, facts in LOSSES.items() if label.type in facts.labels]
            yield Problem(
                f"outputs.{name}.loss",
                f"a label of type {label.type} needs one of {', '.join(fitting)}; found "
                f"{output.loss.name}",
            )
        elif (
            output.loss.name == "poisson"
            and isinstance(label, NumberLabel)
            and label.normalize != "none"
        ):
            yield Problem(
                f"outputs.{name}.loss",
                f"poisson needs labels of at least 0, and labels.{label_name}.normalize scales "
                "them below: remove one of the two",
            )
        yield from _class_weight_problems(f"outputs.{name}.class_weights", output, label)
        yield from _metric_problems(specification, name, label)


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


def _metric_problems(specification: Fusion, name: str, label: Label) -> Iterator[Problem]:
    key, output = f"outputs.{name}.metrics", specification.outputs[name]
    kind = specification.kind_of(name)
    for metric in output.metrics:
        fitting = facts(metric).formulas
        if kind in fitting:
            if kind == "category" and facts(metric).parameter is THRESHOLD and "@" in metric:
                yield Problem(
                    key,
                    f"{metric}: the most probable class is the answer here, whatever its "
                    "probability: remove the threshold",
                )
            if metric == "top_3_accuracy" and len(getattr(label, "classes", ())) <= 3:
                yield Problem(key, "top_3_accuracy needs more than three classes")
        elif label.type == "category" and {"binary", "category"} & fitting.keys():
            wanted = (
                "two classes and binary_crossentropy"
                if "binary" in fitting
                else "a class for each row: categorical_crossentropy"
            )
            yield Problem(key, f"{metric} needs {wanted}")
        else:
            yield Problem(key, f"{metric} does not fit a label of type {label.type}")
