"""What every part of a specification shares: exact keys, plain names."""

from pathlib import Path
from typing import Annotated, Any, Self, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from tfx_fusion.modules.errors import suggestion


class Part(BaseModel):
    """A typed part of the specification: unknown keys are errors, values never change."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        allow_inf_nan=False,
        validate_by_name=True,
        serialize_by_alias=True,
    )

    def changed(self, **values: Any) -> Self:
        """The same part with other values, which must be valid: they are not checked."""
        return self.model_copy(update=values)

    @model_validator(mode="wrap")
    @classmethod
    def _known_keys(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        """Reports each unknown key with the nearest known one, then all other problems."""
        if not isinstance(values, dict):
            return handler(values)
        known = {field.alias or name for name, field in cls.model_fields.items()}
        hints = {
            key: suggestion(str(key), known)
            for key in values
            if key not in known and key not in cls.model_fields
        }
        if not hints:
            return handler(values)
        problems: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("unknown_key", "unknown key: {hint}", {"hint": hint}),
                "loc": (key if isinstance(key, int) else str(key),),
                "input": values[key],
            }
            for key, hint in hints.items()
        ]
        reported = set(hints.values())
        try:
            handler({key: value for key, value in values.items() if key not in hints})
        except ValidationError as error:
            problems += [
                _again(item)
                for item in error.errors()
                # What a misspelt key leaves out is reported with that key.
                if item["type"] != "missing" or f"did you mean '{item['loc'][0]}'?" not in reported
            ]
        raise ValidationError.from_exception_data(cls.__name__, problems)


KNOWN_ERRORS = frozenset(get_args(ErrorType))


def _again(item: ErrorDetails) -> InitErrorDetails:
    """An error of pydantic, to be raised once more."""
    context = item.get("ctx", {})
    kind: str | PydanticCustomError = item["type"]
    if kind == "unknown_key":
        kind = PydanticCustomError("unknown_key", "unknown key: {hint}", context)
    elif kind not in KNOWN_ERRORS:  # of pydantic's own types, as `path_type`
        kind, context = PydanticCustomError(item["type"], item["msg"]), {}
    return {"type": kind, "loc": item["loc"], "input": item["input"], "ctx": context}


# Numbers and flags are strict: the text "64" is not the number 64.
Number = Annotated[float, Field(strict=True)]
PositiveNumber = Annotated[float, Field(strict=True, gt=0)]
Fraction = Annotated[float, Field(strict=True, ge=0, le=1)]
Whole = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True, gt=0)]
Flag = Annotated[bool, Field(strict=True)]

# A name of a feature, label, sub-model, node or output. TensorFlow uses it as a scope name.
Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
# What an input refers to: a feature, a sub-model or a node, or one output of a sub-model, whose
# name may have any characters.
Reference = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*(\.\S(.*\S)?)?$")]
Column = Annotated[str, Field(min_length=1)]


def from_folder(path: Path, info: ValidationInfo) -> Path:
    """Paths are relative to the specification's own file; from Python, to the working folder."""
    folder = (info.context or {}).get("folder", Path.cwd())
    return Path(folder, path.expanduser())


def _not_empty(path: Path) -> Path:
    if path == Path():
        raise ValueError("expected a path, found an empty one")
    return path


LocalFolder = Annotated[Path, AfterValidator(from_folder)]  # `.` is the file's own
LocalPath = Annotated[Path, AfterValidator(_not_empty), AfterValidator(from_folder)]


def data_file_format(path: Path) -> str | None:
    """The format of a data file by the ending of its name; None if it is no known one."""
    endings = {
        ".csv": "csv",
        ".jsonl": "jsonl",
        ".parquet": "parquet",
        ".tfrecord": "tfrecord",
        ".tfrecord.gz": "tfrecord",
    }
    return next((kind for end, kind in endings.items() if path.name.lower().endswith(end)), None)


def as_cell(value: object) -> object:
    """A number or boolean as the text that a cell of the data is read as."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _as_text(value: object) -> object:
    """Classes are compared as text: `classes: [0, 1]` are the cells "0" and "1"."""
    return tuple(map(as_cell, value)) if isinstance(value, list | tuple) else value


def _keys_as_text(value: object) -> object:
    if not isinstance(value, dict):
        return value
    names = [as_cell(key) for key in value]
    twice = sorted({str(name) for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each class once, found {', '.join(map(repr, twice))} more than once")
    return dict(zip(names, value.values(), strict=True))


# A number for each of some classes, which may be named as `ClassNames` are.
ByClass = Annotated[
    dict[str, PositiveNumber],
    BeforeValidator(_keys_as_text, json_schema_input_type=dict[str, float]),
]


def _distinct(names: tuple[str, ...]) -> tuple[str, ...]:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"each class once, found {', '.join(map(repr, twice))} more than once")
    return names


ClassNames = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_as_text),
    Field(min_length=2),
    AfterValidator(_distinct),
]
