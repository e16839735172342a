"""Rows that lack a feature, where a specification allows it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from tfx_fusion.modules.spec.base import Part


class Missing(Part):
    """What stands for a feature in rows that lack it; `allowed` takes the defaults here.

    Where the feature's branch joins others, its value is replaced: by a `learned` vector, by
    `zeros`, or by the `mean` over the rows to train on. `drop` is the share of rows that training
    treats as if they lacked it, so that the model learns to do without. A picture or sequence that
    cannot be read is a rejected row unless `unreadable` says that it is missing.
    """

    replace: Literal["learned", "zeros", "mean"] = "learned"
    drop: Annotated[float, Field(strict=True, ge=0, lt=1)] = 0.0
    unreadable: Literal["reject", "missing"] = "reject"


def _word(value: Any) -> Any:
    return {} if value == "allowed" else value


MissingOrNot = Annotated[Missing | None, BeforeValidator(_word)]


def missing_name(feature: str) -> str:
    """The column that says, for each row, whether a feature is missing: 1 or 0."""
    return f"{feature}.missing"
