"""From a row of the data file to a tf.Example: every cell is checked against the specification."""

import json
import math
import operator
import os
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules import spec
from tfx_fusion.modules.data.data_file import Row
from tfx_fusion.modules.data.fingerprint import file_state
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.images import pixels_of
from tfx_fusion.modules.spec.feature_part import FeaturePart

FLOAT32_MAX = float(np.finfo(np.float32).max)


class RowError(Exception):
    """A row cannot be used: `column` and what was expected and found there."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(f"column '{column}': {reason}")
        self.column, self.reason = column, reason


def _cell(row: Row, column: str) -> Any:
    if column not in row:
        raise RowError(column, "the row has no such column")
    value = row[column]
    if value is None or value == "":
        raise RowError(column, "expected a value, found an empty cell")
    return value


def _text(row: Row, column: str) -> str:
    value = row.get(column, "") if column in row else _cell(row, column)
    if isinstance(value, bytes):
        value = value.decode("utf-8", errors="surrogateescape")
    if value is None:
        value = ""
    text = value if isinstance(value, str) else _as_text(value)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RowError(
            column, f"expected UTF-8 text, found a broken byte at character {error.start + 1}"
        ) from None
    return text


def _as_text(value: Any) -> str:
    if isinstance(value, bool | int | float | list | dict):
        return json.dumps(value, default=str)
    return str(value)  # dates, decimals


def _number(column: str, value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise RowError(column, f"expected a number, found {_short(value)}") from None
    if not abs(number) <= FLOAT32_MAX:
        raise RowError(column, f"expected a finite number (float32), found {value}")
    return number


def _weight(row: Row, column: str) -> float:
    weight = _number(column, _cell(row, column))
    if weight < 0:
        raise RowError(column, f"expected a weight of at least 0, found {weight:g}")
    return weight


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _short_path(path: str) -> str:
    return path if len(path) <= 1000 else f"{path[:200]}…"


def _class(column: str, value: Any, classes: tuple[str, ...], wanted: str = "one of") -> str:
    if isinstance(value, float) and value.is_integer() and str(value) not in classes:
        value = int(value)
    name = _text({column: value}, column)
    if name not in classes:
        shown = ", ".join(classes[:12]) + (", …" if len(classes) > 12 else "")
        raise RowError(column, f"expected {wanted} {shown}; found {_short(name)}")
    return name


def _multi_hot(row: Row, part: spec.MultiLabel) -> list[int]:
    """1 for each class that a cell names and 0 for the others, in the order of `classes`."""
    column, value = part.column, row.get(part.column)
    if not isinstance(value, list):
        text = _text(row, column)
        value = text.split(part.separator) if text.strip() else []
    wanted = f"names joined by {part.separator!r}, each one of"
    found: list[str] = []
    for item in value:
        text = _text({column: item}, column).strip() if isinstance(item, str | bytes) else item
        name = _class(column, text, part.classes, wanted)
        if name in found:
            raise RowError(column, f"expected each class once, found {name!r} twice")
        found.append(name)
    return [int(name in found) for name in part.classes]


class RowParser:
    """Turns rows into tf.Examples by the features and labels of a specification.

    Media paths are relative to `folder`, the data file's own.
    """

    def __init__(
        self,
        features: dict[str, spec.Feature],
        labels: dict[str, spec.Label],
        folder: Path,
        media_root: Path | None = None,
    ) -> None:
        self._parts: dict[str, spec.Feature | spec.Label] = {**features, **labels}
        self._folder, self._media_root = folder, (media_root or folder).resolve()
        self._states: Mapping[str, str] = {}
        self._weights = {
            spec.weights_name(name): labels[name].row_weights or ""
            for name in spec.weighted_labels(labels)
        }

    def example(
        self, row_id: str, row: Row, states: Mapping[str, str] | None = None
    ) -> tf.train.Example:
        """One row as a tf.Example with a feature for each name of the specification, and `row_id`.

        A variable sequence is padded, with the number of its steps beside it as `NAME_length`.

        Args:
            row_id: what messages name.
            row: the cells by column.
            states: by column, the state that a media file must have (`fingerprint.media_states`).

        Raises RowError for the first cell that is not what the specification expects, RunError for
        a media file that is in another state, or changes while it is read.
        """
        self._states = states or {}
        feature = {"row_id": _bytes_feature([row_id.encode()])}
        for name, part in self._parts.items():
            if not isinstance(part, FeaturePart) or part.missing is None:
                feature |= self._columns(row, name, part)
                continue
            found = self._optional(row, name, part)
            feature |= found or _nothing(name, part)
            feature[spec.missing_name(name)] = tf.train.Feature(
                int64_list=tf.train.Int64List(value=[found is None])
            )
        for name, column in self._weights.items():
            feature[name] = _float_feature([_weight(row, column)])
        return tf.train.Example(features=tf.train.Features(feature=feature))

    def features_only(self, row: Row) -> dict[str, np.ndarray]:
        """One row without labels, as the served model takes it: `{input: value}`, no batch."""
        encoded = self.example("", row).features.feature
        answer: dict[str, np.ndarray] = {}
        for name, (shape, _) in spec.stored_columns(self._parts).items():
            kind = encoded[name].WhichOneof("kind")
            # As objects, for NumPy's own strings lose the zero bytes that a picture may end in.
            dtype = object if kind == "bytes_list" else None
            values = np.array(getattr(encoded[name], kind).value, dtype=dtype)
            answer[name] = values.reshape(shape)
        return answer

    def _columns(
        self, row: Row, name: str, part: spec.Feature | spec.Label
    ) -> dict[str, tf.train.Feature]:
        if not isinstance(part, spec.SequenceFeature):
            return {name: self._feature(row, part)}
        steps = self._sequence(row, part)
        padding = ((0, part.shape[0] - len(steps)), (0, 0))
        padded = np.pad(steps, padding, constant_values=part.padding)
        found = {name: _float_feature(padded.ravel())}
        if part.variable:
            found[spec.length_name(name)] = _int_feature([len(steps)])
        return found

    def _feature(self, row: Row, part: spec.Feature | spec.Label) -> tf.train.Feature:
        if isinstance(part, spec.ImageFeature):
            return _bytes_feature([self._image(row, part)])
        if isinstance(part, spec.TextFeature):
            return _bytes_feature([_text(row, name).encode() for name in part.names])
        if isinstance(part, spec.CategoryFeature | spec.CategoryLabel):
            name = _class(part.column, _cell(row, part.column), part.classes)
            return _bytes_feature([name.encode()])
        if isinstance(part, spec.MultiLabel):
            return _int_feature(_multi_hot(row, part))
        if isinstance(part, spec.NumberLabel):
            return _float_feature([_number(part.column, _cell(row, part.column))])
        if isinstance(part, spec.NumberFeature):
            return _float_feature([_number(name, _cell(row, name)) for name in part.names])
        if isinstance(part, spec.RawFeature):
            return self._raw(row, part)
        raise TypeError(f"a {part.type} has columns of its own")

    def _optional(
        self, row: Row, name: str, part: spec.Feature
    ) -> dict[str, tf.train.Feature] | None:
        """The columns of a feature that the row may lack; None where it does."""
        if all(row.get(column) in (None, "", b"") for column in spec.columns_of(part)):
            return None
        if isinstance(part, spec.SequenceFeature) and _has_no_steps(row, part):
            return None
        try:
            return self._columns(row, name, part)
        except RowError:
            if part.missing and part.missing.unreadable == "missing":
                return None
            raise

    def _media(self, column: str, value: str) -> tuple[bytes, Path]:
        """The content of a media file, and its path."""
        path = Path(self._folder, value)
        try:
            inside = path.resolve().is_relative_to(self._media_root)
        except (OSError, RuntimeError, ValueError):  # a loop of links, a name no file can have
            inside = True  # which opening it reports
        if not inside:
            raise RowError(
                column,
                f"expected a file below {self._media_root} (data.media_root), found "
                f"{_short_path(str(path))}",
            )
        try:
            with path.open("rb") as stream:
                before = os.fstat(stream.fileno())
                content = stream.read()
                after = os.fstat(stream.fileno())
        except (OSError, ValueError):  # missing, a folder, a name that no file can have
            raise RowError(column, f"no such file: {_short_path(str(path))}") from None
        state = file_state(value, before)
        if self._states.get(column, state) != state or state != file_state(value, after):
            raise RunError(f"{path}: the file changed while the rows were read: run again")
        return content, path

    def _image(self, row: Row, part: spec.ImageFeature) -> bytes:
        value = _cell(row, part.column)
        if isinstance(value, bytes):
            encoded, shown = value, "the image"
        else:
            encoded, path = self._media(part.column, _text(row, part.column))
            shown = str(path)
        if not encoded:
            raise RowError(part.column, f"expected an image, {shown} is empty")
        try:
            pixels = int(pixels_of(encoded))
            if pixels > part.max_pixels:
                raise RowError(
                    part.column,
                    f"expected at most {part.max_pixels} pixels (max_pixels), {shown} has {pixels}",
                )
            tf.io.decode_image(encoded, channels=part.shape[2], expand_animations=False)
        except tf.errors.OpError as error:
            cause = error.message.split("[Op:")[0].strip().removeprefix("{{").splitlines()[0]
            cause = cause.split("}} ")[-1]
            raise RowError(
                part.column,
                f"expected a whole JPEG, PNG, GIF or BMP image, {shown} cannot be decoded: {cause}",
            ) from None
        return encoded

    def _sequence(self, row: Row, part: spec.SequenceFeature) -> np.ndarray:
        """The steps that a row has `(steps, width)`, without padding."""
        value = _cell(row, part.column)
        if _is_file_of_numbers(value):
            content, path = self._media(part.column, value)
            try:
                value = np.load(BytesIO(content), allow_pickle=False)
            except (ValueError, OSError, EOFError) as error:
                cause = str(error).split(" If you trust")[0]
                raise RowError(part.column, f"{path}: not a .npy array: {cause}") from None
        elif isinstance(value, str):
            value = _json_list(part.column, value)
        steps, width = part.shape
        try:
            # A tf.Example gives a list of one as the one.
            array = np.atleast_1d(np.asarray(value, dtype=np.float32))
        except (TypeError, ValueError, OverflowError):
            raise RowError(
                part.column, f"expected ({steps}, {width}) numbers, found {_short(value)}"
            ) from None
        if array.ndim == 1 and array.size % width == 0:
            array = array.reshape(-1, width)
        if part.variable:
            array = array[: _given_length(row, part, len(array))]
            if not array.size:
                raise RowError(part.column, "expected at least one step, found none")
        fits = array.ndim == 2 and array.shape[1] == width and (
            0 < len(array) <= steps if part.variable else len(array) == steps
        )  # fmt: skip
        if not fits:
            most = "at most " if part.variable else ""
            raise RowError(
                part.column, f"expected {most}({steps}, {width}) numbers, found {array.shape}"
            )
        if not np.isfinite(array).all():
            raise RowError(part.column, "expected finite numbers, found NaN or infinity")
        return array

    def _raw(self, row: Row, part: spec.RawFeature) -> tf.train.Feature:
        value = _cell(row, part.column)
        if part.shape and isinstance(value, str):
            value = _json_list(part.column, value)
        values = np.ravel(np.asarray(value, dtype=object)) if part.shape else [value]
        wanted = math.prod(part.shape)
        if len(values) != wanted:
            raise RowError(part.column, f"expected {wanted} values, found {len(values)}")
        if part.dtype == "string":
            return _bytes_feature([_text({part.column: v}, part.column).encode() for v in values])
        if part.dtype == "float32":
            return _float_feature([_number(part.column, v) for v in values])
        try:
            whole = [int(v) if isinstance(v, str) else operator.index(v) for v in values]
            return _int_feature(whole)
        except (TypeError, ValueError):
            raise RowError(part.column, f"expected int64 numbers, found {_short(value)}") from None


def _nothing(name: str, part: spec.Feature) -> dict[str, tf.train.Feature]:
    """What a tf.Example holds for a feature that a row lacks: the Transform graph detects it."""
    shape, dtype = spec.stored(part)
    if dtype == "string":
        return {name: _bytes_feature([b""] * math.prod(shape))}
    found = {name: _float_feature([math.nan] * math.prod(shape))}
    if isinstance(part, spec.SequenceFeature) and part.variable:
        found[spec.length_name(name)] = _int_feature([0])
    return found


def _given_length(row: Row, part: spec.SequenceFeature, found: int) -> int:
    """How many of the steps found in a row are steps: all, or as many as another column says."""
    column = spec.length_name(part.column)
    value = row.get(column)
    if value is None or value == "":
        return found
    number = _number(column, value)
    if not number.is_integer() or not 0 <= number <= found:
        raise RowError(
            column,
            f"expected how many of the {found} steps in '{part.column}' are no padding, "
            f"found {_short(value)}",
        )
    return int(number)


def _has_no_steps(row: Row, part: spec.SequenceFeature) -> bool:
    if part.variable and row.get(spec.length_name(part.column)) in (0, "0"):
        return True
    value = row[part.column]
    return isinstance(value, list) and not value


def _is_file_of_numbers(value: Any) -> bool:
    """Whether a cell of a sequence names a file, and does not hold the numbers itself."""
    return isinstance(value, str) and value.endswith(".npy")


def _json_list(column: str, value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise RowError(column, f"expected a list in JSON: {error}") from None


def _bytes_feature(values: list[bytes]) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _int_feature(values: list[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))


def _float_feature(values: Any) -> tf.train.Feature:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))
