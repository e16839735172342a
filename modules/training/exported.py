"""A SavedModel asked for its named outputs, whoever exported it.

`predict_examples` is asked where there is one, else `serving_default`: by serialized tf.Examples
where that is its one input, else by the features that its inputs are named after.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import Folders, example_files
from tfx_fusion.modules.data.records import record_dataset, record_name
from tfx_fusion.modules.errors import RunError, library_cause, suggestion
from tfx_fusion.modules.tokens.loading import load_saved_model
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE

DEFAULT_SIGNATURE = "serving_default"
ROW_ID = "row_id"
TRIED_ROWS = 8
# What Keras, TensorFlow and the templates of TFX name the one output of a model that names none.
UNNAMED = ("output_0", "outputs", "output", "predictions")


@dataclass(frozen=True)
class ExampleRows:
    """Some tf.Examples, serialized and parsed, and what names each in messages."""

    serialized: np.ndarray
    features: Sequence[Mapping[str, tf.train.Feature]]
    ids: Sequence[str]

    @classmethod
    def of(cls, serialized: Sequence[bytes], file: str, first: int = 0) -> ExampleRows:
        """Rows of a file; without a feature `row_id` its place in the file names a row."""
        parsed = [tf.train.Example.FromString(row).features.feature for row in serialized]
        ids = [
            first_value(row, ROW_ID).decode() if ROW_ID in row else record_name(file, first + place)
            for place, row in enumerate(parsed)
        ]
        return cls(np.array(serialized, object), parsed, ids)

    def __len__(self) -> int:
        return len(self.ids)


def values_of(feature: tf.train.Feature) -> Sequence[Any]:
    """The values of a feature of a tf.Example; none where it is empty."""
    kind = feature.WhichOneof("kind")
    return getattr(feature, kind).value if kind else ()


def first_value(row: Mapping[str, tf.train.Feature], name: str) -> bytes:
    """A single value of a row as text; empty where the row lacks it."""
    values = values_of(row[name]) if name in row else ()
    first = values[0] if values else b""
    return first if isinstance(first, bytes) else str(first).encode()


def first_rows(folders: Folders, most: int = TRIED_ROWS) -> ExampleRows:
    """The first rows of a split, of the folder of each span. Raises RunError where it has none."""
    files = example_files(folders)
    found = list(record_dataset(files).take(most).as_numpy_iterator())
    if not found:
        where = folders if isinstance(folders, str) else ", ".join(folders)
        raise RunError(f"{where}: expected rows of tf.Examples, found none")
    return ExampleRows.of(found, files[0])


class ExportedModel:
    """A loaded SavedModel, with the outputs that are wanted of it."""

    def __init__(self, path: Path, outputs: Collection[str], signature: str = "") -> None:
        """Loads a model and takes a signature of it, the one that is asked unless given.

        Raises RunError where there is no SavedModel, or it does not give these outputs.
        """
        self.path = path
        try:
            self._loaded = load_saved_model(str(path))
        except Exception as error:  # TensorFlow raises many types here
            cause = library_cause(error)
            raise RunError(f"{path}: expected a SavedModel that loads: {cause}") from error
        found = self._loaded.signatures
        # Ours says itself what the labels of its rows are.
        self.has_labels = LABELS_SIGNATURE in found
        names = [signature] if signature else [EXAMPLES_SIGNATURE, DEFAULT_SIGNATURE]
        name = next((name for name in names if name in found), None)
        if name is None:
            raise RunError(
                f"{path}: expected a model with a signature {names[-1]}, found "
                f"{', '.join(sorted(found)) or 'none'}: export it with one"
            )
        self.signature = found[name]
        self._is_of_examples = name == EXAMPLES_SIGNATURE
        self.inputs: dict[str, tf.TensorSpec] = self.signature.structured_input_signature[1]
        self._outputs = _names(path, outputs, self.signature.structured_outputs)

    def predict(self, rows: ExampleRows) -> dict[str, np.ndarray]:
        """The wanted outputs `(rows, …)`. Raises RunError where the model cannot read the rows."""
        answer = self.answer(self.feed(rows), rows.ids[0])
        return {output: answer[name] for output, name in self._outputs.items()}

    def labels(self, rows: ExampleRows) -> dict[str, np.ndarray]:
        """The labels `(rows, …)` as a model of this project reads them."""
        signature = self._loaded.signatures[LABELS_SIGNATURE]
        return self._called(signature, {"examples": tf.constant(rows.serialized)}, rows.ids[0])

    def answer(self, inputs: Mapping[str, Any], first: str) -> dict[str, np.ndarray]:
        """All outputs `(rows, …)` for inputs; `first` names the first row in messages."""
        return self._called(self.signature, inputs, first)

    def _called(
        self, signature: Any, inputs: Mapping[str, Any], first: str
    ) -> dict[str, np.ndarray]:
        try:
            return {name: value.numpy() for name, value in signature(**inputs).items()}
        except tf.errors.OpError as error:
            cause = library_cause(error)
            raise RunError(
                f"{self.path}: the model cannot read the rows from {first}: {cause}"
            ) from None

    def takes_examples(self, rows: ExampleRows) -> bool:
        """Whether the model takes serialized tf.Examples, not the features in them."""
        if self._is_of_examples or len(self.inputs) != 1:
            return self._is_of_examples
        [(name, spec)] = self.inputs.items()
        return (
            spec.dtype == tf.string
            and spec.shape.rank == 1
            and not any(name in row for row in rows.features)
        )

    def feed(
        self, rows: ExampleRows, optional: Collection[str] = (), pad: bool = False
    ) -> dict[str, tf.Tensor]:
        """The model's inputs for some rows. Raises RunError for a feature that does not fit.

        Args:
            rows: tf.Examples.
            optional: features that a row may lack.
            pad: whether an input of any length takes rows of several lengths.

        As a request says it, NaN or empty text stands for what a row lacks.
        """
        if self.takes_examples(rows):
            return {name: tf.constant(rows.serialized) for name in self.inputs}
        return {
            name: self._column(name, spec, rows, name in optional, pad)
            for name, spec in self.inputs.items()
        }

    def _column(
        self, name: str, spec: Any, rows: ExampleRows, optional: bool, pad: bool
    ) -> tf.Tensor:
        if not isinstance(spec, tf.TensorSpec) or spec.shape.rank is None:
            raise RunError(f"{self.path}: the input '{name}' is no dense tensor: {spec}")
        shape = spec.shape.as_list()[1:]
        lengths = [len(values_of(row[name])) if name in row else 0 for row in rows.features]
        fills = pad and None in shape
        size = max(*lengths, 1) if fills else int(np.prod([n or 1 for n in shape]))
        columns = []
        for row, row_id in zip(rows.features, rows.ids, strict=True):
            values = values_of(row[name]) if name in row else ()
            if fills or (optional and not values):
                nothing = b"" if spec.dtype == tf.string else np.nan
                values = [*values, *[nothing] * (size - len(values))]
            elif name not in row:
                hint = suggestion(name, row)
                raise RunError(
                    f"{self.path}: the model takes '{name}', which {row_id} of the examples lacks; "
                    f"{hint}"
                )
            is_text = bool(values) and isinstance(values[0], bytes)
            if is_text != (spec.dtype == tf.string):
                found = "text" if is_text else "numbers"
                raise RunError(
                    f"{self.path}: the model takes '{name}' as {spec.dtype.name}, {row_id} has "
                    f"{found}"
                )
            columns.append(_shaped(values, shape, f"{self.path}: '{name}' of {row_id}"))
        if any(column.shape != columns[0].shape for column in columns):
            raise RunError(f"{self.path}: '{name}' has several lengths, from {rows.ids[0]} on")
        dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
        return tf.constant(np.stack(columns).astype(dtype), spec.dtype)


def _shaped(values: Sequence[Any], shape: list[int | None], where: str) -> np.ndarray:
    flat = np.array(list(values), object if values and isinstance(values[0], bytes) else None)
    try:
        return flat.reshape([-1 if size is None else size for size in shape])
    except ValueError:
        raise RunError(f"{where} has {flat.size} values, the model takes {shape}") from None


def _names(path: Path, wanted: Collection[str], found: Collection[str]) -> dict[str, str]:
    """The model's name of each wanted output."""
    if all(name in found for name in wanted):
        return {name: name for name in wanted}
    if len(wanted) == len(found) == 1 and next(iter(found)) in UNNAMED:
        return dict(zip(wanted, found, strict=True))
    raise RunError(
        f"{path}: expected a model with the outputs {sorted(wanted)}, found {sorted(found)}: name "
        "the outputs of the model, or of the evaluation, alike"
    )
