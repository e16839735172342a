"""What is measured of a trained model, and the bounds that it must meet to be published."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from tfx_fusion.modules.metrics.table import printed_name
from tfx_fusion.modules.spec.base import Name, Number, Part, as_cell

# A metric by its printed name; in a file also `{precision: {threshold: 0.3}}`.
Metric = Annotated[
    str, BeforeValidator(printed_name, json_schema_input_type=str | dict[str, dict[str, float]])
]


class Bounds(Part):
    """The smallest and the largest value that a number may have."""

    min: Number | None = None
    max: Number | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Bounds:
        if self.min is None and self.max is None:
            raise ValueError("give 'min', 'max' or both")
        return self

    @model_validator(mode="after")
    def _ascends(self) -> Bounds:
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min must not exceed max, found {self.min:g} and {self.max:g}")
        return self


class Threshold(Bounds):
    """The bounds of a metric that a model must meet to be published.

    `change` bounds the candidate's value less the champion's; it is skipped where nothing is
    published yet. A `min` of 0 there lets a model through that is no better than the champion.
    """

    change: Bounds | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> Threshold:
        if self.min is None and self.max is None and self.change is None:
            raise ValueError("give 'min', 'max' or 'change', or several of them")
        return self


Thresholds = dict[Name, dict[Metric, Threshold]]


def _as_list(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each name once, found {', '.join(twice)} more than once")
    return tuple(sorted(names))


# A feature or label, or several that are crossed: each combination of their values is a slice.
Slicing = Annotated[
    tuple[Name, ...],
    BeforeValidator(_as_list, json_schema_input_type=str | list[str]),
    Field(min_length=1),
    AfterValidator(_distinct),
]


def _as_values(value: Any) -> Any:
    """`kind` and `[kind, shop]` stand for each value."""
    names = _as_list(value)
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return dict.fromkeys(names)
    if isinstance(value, dict):
        return {name: as_cell(item) for name, item in value.items()}
    return value


class SliceThreshold(Part):
    """Bounds that hold within slices rather than for the whole evaluation split.

    `slice: {kind: x}` is one slice; `slice: kind`, or a list of names, is every slice by these.
    """

    slice: Annotated[
        dict[Name, Annotated[str, Field(min_length=1)] | None],
        BeforeValidator(_as_values, json_schema_input_type=str | list[str] | dict[str, Any]),
        Field(min_length=1),
    ]
    thresholds: Annotated[Thresholds, Field(min_length=1)]


class Worth(Part):
    """An ablation is measured: the model without each branch, and a head on each branch alone.

    `margin` is by how much the fused model must be better than its best single branch.
    """

    margin: dict[Name, dict[Metric, Number]] = {}


class Evaluation(Part):
    """What is measured of the evaluation split, and bounded, by output and metric.

    `slices` are measured separately: by the values of a feature, by the classes of a label, by both
    crossed. `thresholds` are for the whole split, `slice_thresholds` for slices, which need not
    be in `slices` as well. With `confidence` (0.95, say) every value comes with its interval.
    """

    slices: tuple[Slicing, ...] = ()
    thresholds: Thresholds = {}
    slice_thresholds: tuple[SliceThreshold, ...] = ()
    confidence: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = None
    worth: Worth | None = None

    @field_validator("slices")
    @classmethod
    def _distinct_slices(cls, slices: tuple[tuple[str, ...], ...]) -> tuple[tuple[str, ...], ...]:
        for names in slices:
            if slices.count(names) > 1:
                raise ValueError(f"each slice once, found {' with '.join(names)} more than once")
        return slices

    def sliced_by(self) -> tuple[tuple[str, ...], ...]:
        """The names that rows are sliced by, those crossed together: all that are measured."""
        bounded = (tuple(sorted(item.slice)) for item in self.slice_thresholds)
        return tuple(dict.fromkeys((*self.slices, *bounded)))

    def bounds(self) -> list[tuple[str, dict[str, str | None], str, str, Threshold]]:
        """Every threshold as (key, slice, output, metric, threshold); no slice is the whole split.

        In a slice, None stands for each value of a name.
        """
        whole: dict[str, str | None] = {}
        places = [("thresholds", whole, self.thresholds)]
        for position, item in enumerate(self.slice_thresholds):
            places.append((f"slice_thresholds.{position}.thresholds", item.slice, item.thresholds))
        return [
            (f"evaluation.{key}.{output}.{metric}", where, output, metric, threshold)
            for key, where, thresholds in places
            for output, by_metric in thresholds.items()
            for metric, threshold in by_metric.items()
        ]
