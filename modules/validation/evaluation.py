"""Whether an evaluation names what there is; names alone, without TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    ImageFeature,
    MultiLabel,
    NumberLabel,
    Specification,
    stored,
)


def evaluation_problems(specification: Specification) -> Iterator[str]:
    """Every output, metric, slice and class in `evaluation` that leads nowhere, with its key."""
    evaluation = specification.evaluation
    yield from _unmeasured(specification, "evaluation.thresholds", evaluation.thresholds)
    for names in evaluation.slices:
        for name in names:
            yield from _unsliceable(specification, "evaluation.slices", name)
    for position, item in enumerate(evaluation.slice_thresholds):
        key = f"evaluation.slice_thresholds.{position}"
        yield from _unmeasured(specification, f"{key}.thresholds", item.thresholds)
        for name, value in item.slice.items():
            problems = list(_unsliceable(specification, f"{key}.slice", name))
            yield from problems or _unknown_value(specification, f"{key}.slice", name, value)
    if evaluation.worth:
        yield from _unmeasured(specification, "evaluation.worth.margin", evaluation.worth.margin)


def _unmeasured(
    specification: Specification, key: str, by_output: Mapping[str, Iterable[str]]
) -> Iterator[str]:
    for output, by_metric in by_output.items():
        if output not in specification.outputs:
            hint = suggestion(output, specification.outputs)
            yield f"{key}.{output}: no output has this name; {hint}"
            continue
        for metric in by_metric:
            if metric not in specification.outputs[output].metrics:
                yield (
                    f"{key}.{output}.{metric}: outputs.{output}.metrics does not list it; "
                    "add it there"
                )


def _unsliceable(specification: Specification, key: str, name: str) -> Iterator[str]:
    part = specification.features.get(name) or specification.labels.get(name)
    if part is None:
        hint = suggestion(name, {*specification.features, *specification.labels})
        yield f"{key}: no feature or label is named '{name}'; {hint}"
    elif isinstance(part, MultiLabel | NumberLabel):
        yield f"{key}: '{name}' does not give a row one class to slice by"
    elif stored(part).shape or isinstance(part, ImageFeature):
        yield f"{key}: '{name}' has no single value a row to slice by"


def _unknown_value(
    specification: Specification, key: str, name: str, value: str | None
) -> Iterator[str]:
    part = specification.features.get(name) or specification.labels[name]
    classes = part.classes if isinstance(part, CategoryFeature | CategoryLabel) else None
    if value is not None and classes and value not in classes:
        yield f"{key}.{name}: no class has the name '{value}'; {suggestion(value, classes)}"
