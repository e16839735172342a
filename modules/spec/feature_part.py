"""What every kind of feature shares: what stands for it where it is missing, and what it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from tfx_fusion.modules.spec.base import Part

Dtype = Literal["float32", "int64", "string"]


class Stored(NamedTuple):
    """The shape and dtype of a tensor in tf.Examples, requests or the graph, without the batch."""

    shape: tuple[int, ...]
    dtype: Dtype


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


MissingOrNot = Annotated[
    Missing | None, BeforeValidator(lambda value: {} if value == "allowed" else value)
]


def type_required(schema: dict[str, Any]) -> None:
    """A file names the type of each feature and label; in Python the class does."""
    schema["required"] = ["type", *schema.get("required", ())]


class FeaturePart(Part):
    """What every kind of feature may say: `missing`, where rows may lack it."""

    model_config = ConfigDict(json_schema_extra=type_required)

    missing: MissingOrNot = None

    if TYPE_CHECKING:  # each kind has its own

        @property
        def tensor_shape(self) -> tuple[int, ...]: ...

        @property
        def tensor_dtype(self) -> Dtype: ...

    @model_validator(mode="after")
    def _unreadable_fits(self) -> FeaturePart:
        kind = getattr(self, "type", "")
        media = kind in ("image", "sequence")
        if self.missing and self.missing.unreadable == "missing" and not media:
            raise ValueError("missing.unreadable goes with images and sequences only")
        if self.missing and kind == "raw" and self.tensor_dtype == "int64":
            raise ValueError("no whole number can say 'missing': take dtype float32 or string")
        return self

    def references(self, name: str) -> tuple[str, ...]:
        """What nodes may take of a feature of this name."""
        return (name,)

    def tensors(self, name: str) -> dict[str, Stored]:
        """The same after preprocessing. Raises UserError where a vocabulary cannot be read."""
        return dict.fromkeys(self.references(name), Stored(self.tensor_shape, self.tensor_dtype))

    def ids_below(self) -> int | None:
        """The first whole number that the feature never gives as an id; None where it gives none.

        Raises UserError where a file cannot be read.
        """
        return None
