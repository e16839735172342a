"""Whether bounds, slices and ablation margins name what is measured."""

from collections.abc import Iterable, Iterator, Mapping

from tfx_fusion.modules import spec
from tfx_fusion.modules.errors import Problem, suggestion


def evaluation_problems(specification: spec.Fusion) -> Iterator[Problem]:
    """Every output, metric, slice and class in `evaluation` that does not exist."""
    evaluation = specification.evaluation
    yield from _not_measured(specification, "evaluation.thresholds", evaluation.thresholds)
    for names in evaluation.slices:
        for name in names:
            yield from _no_slices(specification, "evaluation.slices", name)
    for position, item in enumerate(evaluation.slice_thresholds):
        key = f"evaluation.slice_thresholds.{position}"
        yield from _not_measured(specification, f"{key}.thresholds", item.thresholds)
        for name, value in item.slice.items():
            problems = list(_no_slices(specification, f"{key}.slice", name))
            yield from problems or _unknown_value(specification, f"{key}.slice", name, value)
    if evaluation.worth:
        yield from _not_measured(specification, "evaluation.worth.margin", evaluation.worth.margin)


def _not_measured(
    specification: spec.Fusion, key: str, by_output: Mapping[str, Iterable[str]]
) -> Iterator[Problem]:
    for output, by_metric in by_output.items():
        if output not in specification.outputs:
            hint = suggestion(output, specification.outputs)
            message = f"no output has this name; {hint}"
            yield Problem(f"{key}.{output}", message, undefined=output)
            continue
        for metric in by_metric:
            if metric not in specification.outputs[output].metrics:
                yield Problem(
                    f"{key}.{output}.{metric}",
                    f"outputs.{output}.metrics does not list it; add it there",
                )


def _no_slices(specification: spec.Fusion, key: str, name: str) -> Iterator[Problem]:
    part = specification.features.get(name) or specification.labels.get(name)
    if part is None:
        hint = suggestion(name, {*specification.features, *specification.labels})
        yield Problem(key, f"no feature or label is named '{name}'; {hint}", undefined=name)
    elif isinstance(part, spec.MultiLabel | spec.NumberLabel):
        yield Problem(key, f"'{name}' has no single class per row to slice by; remove it")
    elif spec.stored(part).shape or isinstance(part, spec.ImageFeature):
        yield Problem(key, f"'{name}' has no single value per row to slice by; remove it")


def _unknown_value(
    specification: spec.Fusion, key: str, name: str, value: str | None
) -> Iterator[Problem]:
    part = specification.features.get(name) or specification.labels[name]
    classes = part.classes if isinstance(part, spec.CategoryFeature | spec.CategoryLabel) else None
    if value is not None and classes and value not in classes:
        message = f"no class is named '{value}'; {suggestion(value, classes)}"
        yield Problem(f"{key}.{name}", message)
