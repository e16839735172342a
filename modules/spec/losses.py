"""Every loss of a specification: the labels that it fits, and the options that it takes.

Losses are Keras's of the same names, but for `quantile`, the pinball loss.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, model_serializer, model_validator

from tfx_fusion.modules.errors import suggestion
from tfx_fusion.modules.spec.base import Number, Part


class Option(NamedTuple):
    """A number that a loss may be given; where neither end is valid itself, unless `from_low`."""

    low: float
    high: float | None
    from_low: bool = False

    def problem(self, value: float) -> str:
        """What is wrong with a value; empty where nothing is."""
        above = value >= self.low if self.from_low else value > self.low
        if above and (self.high is None or value < self.high):
            return ""
        lower = f"{'at least' if self.from_low else 'above'} {self.low:g}"
        return lower if self.high is None else f"{lower} and below {self.high:g}"


class LossFacts(NamedTuple):
    """The types of labels that a loss fits, and its options.

    `one_yes` is of a label of type category that has two classes: the output is the probability of
    the second one. `required` are options without a default.
    """

    labels: tuple[str, ...]
    options: dict[str, Option] = {}
    one_yes: bool = False
    required: tuple[str, ...] = ()


SMOOTHING = {"label_smoothing": Option(0, 1, from_low=True)}
FOCAL = {"gamma": Option(0, None, from_low=True), "alpha": Option(0, 1)}
YES = ("category", "multi_label")
LOSSES: dict[str, LossFacts] = {
    "categorical_crossentropy": LossFacts(("category",), SMOOTHING),
    "categorical_focal_crossentropy": LossFacts(("category",), SMOOTHING | FOCAL),
    "binary_crossentropy": LossFacts(YES, SMOOTHING, one_yes=True),
    "binary_focal_crossentropy": LossFacts(YES, SMOOTHING | FOCAL, one_yes=True),
    "hinge": LossFacts(YES, one_yes=True),
    "cosine_similarity": LossFacts(YES),
    "mean_squared_error": LossFacts(("number",)),
    "mean_absolute_error": LossFacts(("number",)),
    "huber": LossFacts(("number",), {"delta": Option(0, None)}),
    "poisson": LossFacts(("number",)),
    "quantile": LossFacts(("number",), {"quantile": Option(0, 1)}, required=("quantile",)),
}


class Loss(Part):
    """A loss by name with its options: `huber`, or `{huber: {delta: 2}}`."""

    name: str
    options: dict[str, Number] = {}

    @model_validator(mode="after")
    def _known(self) -> Loss:
        if self.name not in LOSSES:
            raise ValueError(
                f"expected a loss, found '{self.name}'; {suggestion(self.name, LOSSES)}"
            )
        known = LOSSES[self.name]
        for option, value in self.options.items():
            if option not in known.options:
                takes = ", ".join(known.options) or "no option"
                raise ValueError(f"{self.name} takes {takes}, found {option}")
            problem = known.options[option].problem(value)
            if problem:
                raise ValueError(f"{self.name}: {option} must be {problem}, found {value:g}")
        for option in known.required:
            if option not in self.options:
                raise ValueError(
                    f"{self.name} needs {option}: write {{{self.name}: {{{option}: 0.9}}}}"
                )
        return self

    @model_serializer
    def _as_written(self) -> str | dict[str, dict[str, float]]:
        return {self.name: self.options} if self.options else self.name

    def __str__(self) -> str:
        options = ", ".join(f"{name} {value:g}" for name, value in self.options.items())
        return f"{self.name} ({options})" if options else self.name

    @property
    def facts(self) -> LossFacts:
        """What is known of the loss."""
        return LOSSES[self.name]


def _as_loss(value: Any) -> Any:
    if isinstance(value, Loss):
        return value
    if isinstance(value, str):
        return {"name": value}
    if isinstance(value, dict) and len(value) == 1:
        [(name, options)] = value.items()
        if isinstance(name, str) and isinstance(options, dict):
            return {"name": name, "options": options}
    raise ValueError("expected the name of a loss, or {name: {option: value}}")


NamedLoss = Annotated[
    Loss, BeforeValidator(_as_loss, json_schema_input_type=str | dict[str, dict[str, float]])
]
