"""The kinds of features and labels a specification can name.

Shapes leave the batch out: an image of `shape: [32, 32, 3]` is a tensor `(batch, 32, 32, 3)`.
`tensor_shape` and `tensor_dtype` are those that a node of the graph receives after preprocessing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from tfx_fusion.modules.spec.base import ClassNames, Column, Count, Flag, LocalPath, Number, Part
from tfx_fusion.modules.spec.vocabulary import read_vocabulary


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


def _type_required(schema: dict[str, Any]) -> None:
    """A file names the type of each feature and label; in Python the class does."""
    schema["required"] = ["type", *schema.get("required", ())]


class FeaturePart(Part):
    """What every kind of feature may say: `missing`, where rows may lack it."""

    model_config = ConfigDict(json_schema_extra=_type_required)

    missing: MissingOrNot = None

    @model_validator(mode="after")
    def _unreadable_fits(self) -> FeaturePart:
        media = isinstance(self, ImageFeature | SequenceFeature)
        if self.missing and self.missing.unreadable == "missing" and not media:
            raise ValueError("missing.unreadable goes with images and sequences only")
        if self.missing and isinstance(self, RawFeature) and self.dtype == "int64":
            raise ValueError("no whole number can say 'missing': take dtype float32 or string")
        return self


class ImageFeature(FeaturePart):
    """An encoded image (JPEG, PNG, GIF, BMP), decoded, resized and scaled to `range`.

    One of more than `max_pixels` is not decoded: it cannot be used, in data or in a request.
    """

    type: Literal["image"] = "image"
    column: Column
    shape: tuple[Count, Count, Literal[1, 3, 4]]
    range: tuple[Number, Number] = (0.0, 1.0)
    max_pixels: Count = 50_000_000

    @model_validator(mode="after")
    def _range_ascends(self) -> ImageFeature:
        if self.range[0] >= self.range[1]:
            low, high = self.range
            raise ValueError(f"range must ascend, found [{low:g}, {high:g}]: write [0, 1] say")
        return self

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        return self.shape

    tensor_dtype: ClassVar[str] = "float32"


class TextFeature(FeaturePart):
    """Text, lower-cased, without punctuation, split at white space, as numbers or as it is.

    The id of a token is the number of its line in the vocabulary, from 0, as in the vocabulary
    that Keras's TextVectorization gives. A line `[UNK]` takes unknown tokens; without one they
    are left out. `ids` needs line 0 to be the padding (empty, or `[PAD]`).
    """

    type: Literal["text"] = "text"
    column: Column
    encoding: Literal["multi_hot", "ids", "string"]
    vocabulary: LocalPath | None = None
    length: Count | None = None

    @model_validator(mode="after")
    def _keys_fit_encoding(self) -> TextFeature:
        if (self.vocabulary is None) != (self.encoding == "string"):
            verb = "takes no" if self.encoding == "string" else "needs a"
            raise ValueError(f"encoding '{self.encoding}' {verb} vocabulary")
        if (self.length is None) != (self.encoding != "ids"):
            verb = "needs a" if self.encoding == "ids" else "takes no"
            raise ValueError(f"encoding '{self.encoding}' {verb} length")
        return self

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        if self.encoding == "multi_hot" and self.vocabulary is not None:
            return (len(read_vocabulary(self.vocabulary)),)
        return (self.length,) if self.length is not None else ()

    @property
    def tensor_dtype(self) -> str:
        return {"multi_hot": "float32", "ids": "int64", "string": "string"}[self.encoding]


class NumberFeature(FeaturePart):
    """One number, or several columns as one vector; scaled by what the training rows show."""

    type: Literal["number"] = "number"
    column: Column | None = None
    columns: tuple[Column, ...] | None = None
    normalize: Literal["none", "standard", "min_max"] = "none"

    @model_validator(mode="after")
    def _one_source(self) -> NumberFeature:
        if (self.column is None) == (self.columns is None) or self.columns == ():
            raise ValueError("give either 'column' (one number) or 'columns' (a list of names)")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        return self.columns if self.columns is not None else (self.column or "",)

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        return (len(self.names),)

    tensor_dtype: ClassVar[str] = "float32"


class CategoryFeature(FeaturePart):
    """One of the listed classes, as a one-hot vector or as its index."""

    type: Literal["category"] = "category"
    column: Column
    classes: ClassNames
    encoding: Literal["one_hot", "index"] = "one_hot"

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        return (len(self.classes),) if self.encoding == "one_hot" else ()

    @property
    def tensor_dtype(self) -> str:
        return "float32" if self.encoding == "one_hot" else "int64"


class SequenceFeature(FeaturePart):
    """Steps of numbers: a list in the row, or the path of a `.npy` file, `(steps, width)`.

    With `variable: true` a row may have fewer steps than `shape` says, but at least one. It is
    padded at the end with `padding`, and padded steps are masked for layers that know Keras's
    masks. The mask comes from the number of steps, not from their values: a step that equals the
    padding is a step. The number of steps is how many stand in the row, or what the row's column
    `COLUMN_length` says where there is one, as with TFRecords that are padded already.

    tf.Examples, the fused model and its `serving_default` have it beside the padded values as
    `NAME_length` `(batch,)` int64. A client sends both, for a feature `steps` of `shape: [3, 2]`:

        {"instances": [{"steps": [[0.5, 1], [0, 0], [0, 0]], "steps_length": 2}]}

    That row has two steps, the second of zeros; what stands behind them is ignored. A length of 0
    goes with a missing sequence only, whose values are all NaN.
    """

    type: Literal["sequence"] = "sequence"
    column: Column
    shape: tuple[Count, Count]
    variable: Flag = False
    padding: Number = 0.0

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        return self.shape

    tensor_dtype: ClassVar[str] = "float32"


class RawFeature(FeaturePart):
    """Passed through as it is: a scalar (`shape: []`) or a list of values, flat in the row."""

    type: Literal["raw"] = "raw"
    column: Column
    dtype: Literal["float32", "int64", "string"]
    shape: tuple[Count, ...] = ()

    @property
    def tensor_shape(self) -> tuple[int, ...]:
        return self.shape

    @property
    def tensor_dtype(self) -> str:
        return self.dtype


class LabelPart(Part):
    """What every kind of label may say.

    `row_weights` is a column of numbers from 0 that says how much each row counts in training; in
    evaluation all rows count alike.
    """

    model_config = ConfigDict(json_schema_extra=_type_required)

    row_weights: Column | None = None


class CategoryLabel(LabelPart):
    """What a classification learns: one of the listed classes."""

    type: Literal["category"] = "category"
    column: Column
    classes: ClassNames


class MultiLabel(LabelPart):
    """What a multi-label classification learns: any number of the listed classes, none included.

    A cell holds the names joined by `separator`, or is a list of them; spaces around a name do not
    count, and an empty cell is no class.
    """

    type: Literal["multi_label"] = "multi_label"
    column: Column
    classes: ClassNames
    separator: Annotated[str, Field(min_length=1)] = ";"

    @model_validator(mode="after")
    def _names_can_be_told_apart(self) -> MultiLabel:
        for name in self.classes:
            if self.separator in name:
                raise ValueError(
                    f"the class {name!r} holds the separator {self.separator!r}: "
                    "write another separator, or name the class differently"
                )
            if name != name.strip():
                raise ValueError(f"the class {name!r} has spaces around it: write {name.strip()!r}")
        return self


class NumberLabel(LabelPart):
    """What a regression learns: one number.

    With `normalize` the loss compares numbers scaled by the rows to train on: `standard` to a mean
    of 0 and a deviation of 1, `min_max` to 0 and 1. Predictions and metrics, also those of
    training, are in the label's own units all the same.
    """

    type: Literal["number"] = "number"
    column: Column
    normalize: Literal["none", "standard", "min_max"] = "none"


Feature = Annotated[
    ImageFeature | TextFeature | NumberFeature | CategoryFeature | SequenceFeature | RawFeature,
    Field(discriminator="type"),
]
Label = Annotated[CategoryLabel | MultiLabel | NumberLabel, Field(discriminator="type")]


def media_columns(features: Mapping[str, Feature]) -> list[str]:
    """The columns that may name files: of pictures, and of sequences, which may be inline."""
    return [
        feature.column
        for feature in features.values()
        if isinstance(feature, ImageFeature | SequenceFeature)
    ]


def columns_of(part: Feature | Label) -> tuple[str, ...]:
    """The data columns that a feature or label is read from."""
    if isinstance(part, NumberFeature):
        return part.names
    if isinstance(part, LabelPart) and part.row_weights is not None:
        return part.column, part.row_weights
    return (part.column,)


class Stored(NamedTuple):
    """How a feature or label is stored in tf.Examples and serving requests, without the batch."""

    shape: tuple[int, ...]
    dtype: Literal["float32", "int64", "string"]


def stored(part: Feature | Label) -> Stored:
    """Encoded images, text and classes are scalars of bytes; numbers are stored as they are.

    A label of several classes is 1 for each class that the row has and 0 for the others.
    """
    if isinstance(part, RawFeature):
        return Stored(part.shape, part.dtype)
    if isinstance(part, NumberFeature | SequenceFeature):
        return Stored(part.tensor_shape, "float32")
    if isinstance(part, MultiLabel):
        return Stored((len(part.classes),), "int64")
    return Stored((), "float32" if isinstance(part, NumberLabel) else "string")


def variable_sequences(parts: Mapping[str, Feature | Label]) -> dict[str, SequenceFeature]:
    """The sequences that have another number of steps in each row, by name."""
    return {
        name: part
        for name, part in parts.items()
        if isinstance(part, SequenceFeature) and part.variable
    }


def length_name(sequence: str) -> str:
    """The column that says, for each row, how many steps a variable sequence has."""
    return f"{sequence}_length"


def stored_columns(parts: Mapping[str, Feature | Label]) -> dict[str, Stored]:
    """How features and labels are stored, each with the length of a variable sequence behind it."""
    lengths = variable_sequences(parts)
    found: dict[str, Stored] = {}
    for name, part in parts.items():
        found[name] = stored(part)
        if name in lengths:
            found[length_name(name)] = Stored((), "int64")
    return found


# The column that every tf.Example carries beside those of the specification.
ROW_ID = Stored((), "string")


def may_be_missing(features: Mapping[str, Feature]) -> list[str]:
    """The features that rows may lack, by name."""
    return [name for name, feature in features.items() if feature.missing]


def missing_name(feature: str) -> str:
    """The column that says, for each row, whether a feature is missing: 1 or 0."""
    return f"{feature}.missing"


def weights_name(label: str) -> str:
    """The column that holds the row weights of a label."""
    return f"{label}.weights"


def weighted_labels(parts: Mapping[str, Feature | Label]) -> list[str]:
    """The labels that rows count for by a column of weights, by name."""
    return [
        name
        for name, part in parts.items()
        if isinstance(part, LabelPart) and part.row_weights is not None
    ]


def drifting(features: dict[str, Feature], labels: dict[str, Label]) -> dict[str, Feature | Label]:
    """Those of which drift can be measured: classes and numbers, not pictures or free text."""
    return {
        name: part
        for name, part in {**features, **labels}.items()
        if not isinstance(part, ImageFeature | TextFeature)
    }
