"""What `fusion tune` searches: which values of a specification, and by what they are judged."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from tfx_fusion.modules.spec.base import Count, Number, Part, Whole

Value = bool | int | float | str


class Choice(Part):
    """One of some values; they may also be written as a plain list."""

    choice: tuple[Value, ...] = Field(min_length=2)

    @field_validator("choice")
    @classmethod
    def _distinct(cls, choice: tuple[Value, ...]) -> tuple[Value, ...]:
        twice = [value for value in choice if choice.count(value) > 1]
        if twice:
            raise ValueError(f"each value once, found {twice[0]!r} more than once")
        return choice


class Range(Part):
    """A number from `min` to `max`, whole if both are; on a logarithmic scale if asked."""

    min: Whole | Number
    max: Whole | Number
    scale: Literal["linear", "log"] = "linear"

    @model_validator(mode="after")
    def _ascends(self) -> Range:
        if self.min >= self.max:
            raise ValueError(f"min must lie below max, found {self.min:g} and {self.max:g}")
        if self.scale == "log" and self.min <= 0:
            raise ValueError(f"a logarithmic scale needs min above 0, found {self.min:g}")
        return self

    @property
    def is_whole(self) -> bool:
        return isinstance(self.min, int) and isinstance(self.max, int)


def _kind(value: Any) -> str:
    if isinstance(value, Range) or (isinstance(value, dict) and "choice" not in value):
        return "a range"
    return "a choice"


class Tuning(Part):
    """A search over values of the specification.

    `search` names each by the keys that lead to it, as messages do, for instance
    `graph.hidden.layers.0.Dense.units` or `training.stages.0.learning_rate`. `objective` is `loss`
    or `OUTPUT.METRIC`, on the evaluation split when training ends.
    """

    trials: Count = 20
    objective: str = "loss"
    method: Literal["bayesian", "random"] = "bayesian"
    search: dict[
        str,
        Annotated[
            Annotated[Choice, Tag("a choice")] | Annotated[Range, Tag("a range")],
            Discriminator(_kind),
        ],
    ] = Field(min_length=1)

    @field_validator("search", mode="before")
    @classmethod
    def _plain_lists(cls, search: Any) -> Any:
        if not isinstance(search, dict):
            return search
        return {
            path: {"choice": values} if isinstance(values, list | tuple) else values
            for path, values in search.items()
        }
