"""What the exported models predict of each row of the evaluation split, computed once, on Beam.

TFMA measures these rows, intervals are drawn from them, the report shows them. They are stored as
tf.Examples: a file of predictions for each file of rows, in its order, with the features `row_id`,
each name that rows are sliced by (as text, empty where a row lacks it), `label/OUTPUT` as the loss
takes it, and `MODEL/OUTPUT` for the candidate and the champion.

A row of which the candidate predicts NaN or infinity is left out, as training leaves out rows that
cannot be embedded: no metric has a value with it. The rows left out are listed beside, and no more
may be than `data.max_rejected` allows.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.utils.shared import Shared

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.data.rejected import Rejected, check_limit, shown
from tfx_fusion.modules.embedding.columns import write_rows
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.tokens.loading import load_saved_model
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE, LABELS_SIGNATURE

CANDIDATE, CHAMPION = "candidate", "champion"
ROW_ID = "row_id"
READ_AT_ONCE = 1024
REJECTED_FOLDER = "rejected"
NO_PREDICTION = (
    "expected a finite prediction, found NaN or infinity: look at the row, or whether training has "
    "diverged"
)

# A slice by the names that made it, in their order, each with its value; () is the whole split.
Slice = tuple[tuple[str, str], ...]


def predictions_folder(evaluation: Path) -> Path:
    """Where predictions lie in the folder of an evaluation, as split `eval` of tf.Examples."""
    return evaluation / "predictions" / "Split-eval"


def label_key(output: str) -> str:
    """The feature that holds the label of an output."""
    return f"label/{output}"


def prediction_key(model: str, output: str) -> str:
    """The feature that holds what a model predicts for an output."""
    return f"{model}/{output}"


class Predictor:
    """Asks exported models for the rows of a file; loads them once, when it is made."""

    def __init__(self, specification: Specification, models: Mapping[str, Path]) -> None:
        """`models` are the SavedModel of the candidate, and of the champion if there is one."""
        self._specification = specification
        self._names = (ROW_ID, *{name: 0 for names in specification.sliced_by() for name in names})
        self._models = {name: load_saved_model(str(path)) for name, path in models.items()}

    def batches(self, path: str, rejected: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a file of tf.Examples in order, as `{column: (batch, …)}`.

        The ids of rows without a finite prediction of the candidate go to `rejected`.
        """
        label = self._models[CANDIDATE].signatures[LABELS_SIGNATURE]
        rows = tf.data.TFRecordDataset(path).batch(self._specification.training.batch_size)
        for serialized in rows.prefetch(1):
            features = [
                tf.train.Example.FromString(row).features.feature for row in serialized.numpy()
            ]
            columns = {
                name: np.array([_text(row[name]) for row in features], object)
                for name in self._names
            }
            labels = label(examples=serialized)
            for output in self._specification.outputs:
                columns[label_key(output)] = labels[self._specification.label_name(output)].numpy()
            for name, model in self._models.items():
                predicted = model.signatures[EXAMPLES_SIGNATURE](examples=serialized)
                for output in self._specification.outputs:
                    columns[prediction_key(name, output)] = predicted[output].numpy()
            usable = np.ones(len(serialized), bool)
            for output in self._specification.outputs:
                values = columns[prediction_key(CANDIDATE, output)]
                usable &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
            rejected += [row_id.decode() for row_id in columns[ROW_ID][~usable]]
            if usable.any():
                yield {name: values[usable] for name, values in columns.items()}


def _text(feature: tf.train.Feature) -> bytes:
    """A single value as text; empty where a row lacks it."""
    found = getattr(feature, feature.WhichOneof("kind") or "bytes_list").value
    first = found[0] if found else b""
    return first if isinstance(first, bytes) else str(first).encode()


class _PredictFile(beam.DoFn):
    def __init__(self, make: partial[Predictor]) -> None:
        self._make, self._shared = make, Shared()

    def setup(self) -> None:
        # The threads of a process share the models.
        self._predictor = self._shared.acquire(self._make)

    def process(self, element: tuple[str, str]) -> Iterator[int]:
        rows, predictions = element
        rejected: list[str] = []
        written, _ = write_rows(self._predictor.batches(rows, rejected), predictions)
        # Not beside the predictions: TFMA reads every file there.
        notes = Path(predictions).parents[1] / REJECTED_FOLDER
        notes.mkdir(exist_ok=True)
        content = json.dumps({"rows": written, "rejected": rejected})
        write_text(notes / f"{Path(predictions).name}.json", content)
        yield written


def write_predictions(
    pipeline: beam.Pipeline,
    specification: Specification,
    models: Mapping[str, Path],
    examples: str,
    folder: Path,
) -> None:
    """Adds to a Beam pipeline the predictions for every row of a split.

    Args:
        pipeline: a Beam pipeline.
        specification: what the candidate was made from.
        models: the SavedModel's folder of `CANDIDATE`, and of `CHAMPION` if there is one.
        examples: the folder of the split's tf.Examples.
        folder: where predictions go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [(path, str(folder / Path(path).name)) for path in example_files(examples)]
    (
        pipeline
        | "Files to predict" >> beam.Create(files)
        | "Spread files" >> beam.Reshuffle()
        | "Predict" >> beam.ParDo(_PredictFile(partial(Predictor, specification, models)))
    )


@dataclass(frozen=True)
class EvaluatedRows:
    """The rows of a split: labels and predictions `(rows, …)` by output, values by name.

    `champion` holds its predictions, where there is one.
    """

    labels: Mapping[str, np.ndarray]
    predictions: Mapping[str, np.ndarray]
    values: Mapping[str, np.ndarray]
    champion: Mapping[str, np.ndarray] | None = None

    def within(self, where: Slice) -> np.ndarray:
        """Which rows lie in a slice, `(rows,)`."""
        rows = np.ones(len(next(iter(self.labels.values()))), bool)
        for name, value in where:
            rows &= self.values[name] == value
        return rows


class RowsBefore(NamedTuple):
    """How many rows were read in all, and how many were rejected before they were evaluated.

    Without those to evaluate on that training has left out: they have no prediction here either.
    """

    read: int
    rejected: int


def rejected_rows(
    specification: Specification, evaluation: Path, before: RowsBefore | None = None
) -> list[str]:
    """The ids of the evaluated rows of which the candidate gives no finite prediction.

    `before` is None where nothing is known of other rows than these. Raises RejectedRowsError where
    all steps together reject more rows than `data.max_rejected` allows, or these are all.
    """
    files = sorted((evaluation / "predictions" / REJECTED_FOLDER).glob("*.json"))
    notes = [json.loads(file.read_text()) for file in files]
    rejected = [Rejected(row, "", NO_PREDICTION) for note in notes for row in note["rejected"]]
    usable = sum(note["rows"] for note in notes)
    if rejected and not usable:
        raise RejectedRowsError(f"no evaluated row has a finite prediction: {shown(rejected)}",
                                rejected)  # fmt: skip
    total, earlier = before or RowsBefore(usable + len(rejected), 0)
    check_limit(rejected, specification.data.max_rejected, total, earlier)
    return [row.row for row in rejected]


def read_predictions(
    specification: Specification, evaluation: Path, most: int | None = None
) -> EvaluatedRows:
    """The predictions in the folder of an evaluation, of the first `most` rows if so asked.

    Raises RunError where there are none.
    """
    folder = predictions_folder(evaluation)
    rows = tf.data.TFRecordDataset(example_files(str(folder))).take(-1 if most is None else most)
    batches: list[dict[str, np.ndarray]] = []
    spec: dict[str, tf.io.FixedLenFeature] = {}
    for serialized in rows.batch(READ_AT_ONCE):
        spec = spec or _spec(serialized[0].numpy())
        parsed = tf.io.parse_example(serialized, spec)
        batches.append({name: values.numpy() for name, values in parsed.items()})
    if not batches:
        raise RunError(f"{folder}: expected predictions, found none: run again")
    columns = {name: np.concatenate([batch[name] for batch in batches]) for name in spec}
    outputs = specification.outputs

    def predicted(model: str) -> dict[str, np.ndarray]:
        return {output: columns[prediction_key(model, output)] for output in outputs}

    has_champion = all(prediction_key(CHAMPION, output) in columns for output in outputs)
    return EvaluatedRows(
        labels={output: columns[label_key(output)] for output in outputs},
        predictions=predicted(CANDIDATE),
        values={
            name: np.array([value.decode() for value in values[:, 0]])
            for name, values in columns.items()
            if values.dtype == object
        },
        champion=predicted(CHAMPION) if has_champion else None,
    )


def _spec(row: bytes) -> dict[str, tf.io.FixedLenFeature]:
    """How to parse rows like this one: all columns have as many values in every row."""
    dtypes = {"bytes_list": tf.string, "float_list": tf.float32, "int64_list": tf.int64}
    found = {}
    for name, feature in tf.train.Example.FromString(row).features.feature.items():
        kind = feature.WhichOneof("kind")
        found[name] = tf.io.FixedLenFeature((len(getattr(feature, kind).value),), dtypes[kind])
    return found
