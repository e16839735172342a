"""What the exported models predict of each row of the evaluation split, computed once, on Beam.

TFMA measures these rows, intervals are drawn from them, the report shows them. They are stored as
tf.Examples: a file of predictions for each file of rows, in its order, with the features `row_id`
(the place in the file where rows have none), each name that rows are sliced by (as text, empty
where a row lacks it), `label/OUTPUT` as the loss takes it, and `MODEL/OUTPUT` for the candidate and
the champion.

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

from tfx_fusion.modules.data.file_list import PREFIX, Folders, example_files
from tfx_fusion.modules.data.records import record_dataset
from tfx_fusion.modules.data.rejected import Rejected, check_limit, shown
from tfx_fusion.modules.embedding.columns import write_rows
from tfx_fusion.modules.errors import RejectedRowsError, RunError
from tfx_fusion.modules.evaluation.labels import feature_of, read_labels
from tfx_fusion.modules.files import write_text
from tfx_fusion.modules.spec import NumberLabel, missing_name
from tfx_fusion.modules.spec.evaluated import Evaluated
from tfx_fusion.modules.training.exported import ROW_ID, ExampleRows, ExportedModel, first_value

CANDIDATE, CHAMPION = "candidate", "champion"
SPLIT = "eval"  # of the predictions, whatever the split of the rows
READ_AT_ONCE = 1024
ROUNDING = 1e-2  # of probabilities, which may be computed in bfloat16
SHOWN = 5
REJECTED_FOLDER = "rejected"
NO_PREDICTION = (
    "expected a finite prediction, found NaN or infinity: look at the row, or whether training has "
    "diverged"
)

# A slice by the names that made it, in their order, each with its value; () is the whole split.
Slice = tuple[tuple[str, str], ...]


def predictions_folder(evaluation: Path) -> Path:
    """Where predictions lie in the folder of an evaluation, as a split of tf.Examples."""
    return evaluation / "predictions" / f"Split-{SPLIT}"


def label_key(output: str) -> str:
    """The feature that holds the label of an output."""
    return f"label/{output}"


def prediction_key(model: str, output: str) -> str:
    """The feature that holds what a model predicts for an output."""
    return f"{model}/{output}"


class Predictor:
    """Asks exported models for the rows of a file; loads them once, when it is made."""

    def __init__(self, task: Evaluated, models: Mapping[str, Path]) -> None:
        """`models` are the SavedModel of the candidate, and of the champion if there is one."""
        self._task = task
        self._sliced = {name: 0 for names in task.sliced_by() for name in names}
        self._models = {
            name: ExportedModel(path, list(task.outputs)) for name, path in models.items()
        }

    def batches(self, path: str, rejected: list[str]) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a file of tf.Examples in order, as `{column: (batch, …)}`.

        The ids of rows without a finite prediction of the candidate go to `rejected`.
        """
        first = 0
        records = record_dataset([path]).batch(self._task.batch_size)
        for serialized in records.prefetch(1).as_numpy_iterator():
            rows = ExampleRows.of(list(serialized), path, first)
            first += len(rows)
            columns = {ROW_ID: np.array([row_id.encode() for row_id in rows.ids], object)}
            for name in self._sliced:
                columns[name] = np.array([self._slice(name, row) for row in rows.features], object)
            labels = read_labels(self._task, self._models[CANDIDATE], rows)
            columns.update({label_key(output): labels[output] for output in labels})
            for name, model in self._models.items():
                for output, values in check_predictions(self._task, model, rows).items():
                    columns[prediction_key(name, output)] = values.reshape(len(rows), -1)
            usable = np.ones(len(rows), bool)
            for output in self._task.outputs:
                usable &= np.isfinite(columns[prediction_key(CANDIDATE, output)]).all(axis=1)
            rejected += [rows.ids[place] for place in np.flatnonzero(~usable).tolist()]
            if usable.any():
                yield {name: values[usable] for name, values in columns.items()}

    def _slice(self, name: str, row: Mapping[str, tf.train.Feature]) -> bytes:
        """What a row is sliced by, as text; empty where it lacks it."""
        if name in row:
            return first_value(row, name)
        if name in self._task.labels:
            return first_value(row, feature_of(name, self._task.labels[name], row))
        feature = name.removesuffix(missing_name(""))
        # Only this project's own examples say which features a row lacks.
        return b"" if feature == name else str(int(not first_value(row, feature))).encode()


def check_predictions(
    task: Evaluated, model: ExportedModel, rows: ExampleRows
) -> dict[str, np.ndarray]:
    """What a model predicts of some rows, `(rows, …)` by output.

    Raises RunError where that is not what the metrics of an output need. That a model of this
    project gives probabilities was checked when its graph was built.
    """
    predicted = model.predict(rows)
    for output, values in predicted.items():
        kind, label = task.kind_of(output), task.label_of(output)
        wanted = 1 if isinstance(label, NumberLabel) or kind == "binary" else len(label.classes)
        numbers = values.reshape(len(values), -1)
        if numbers.shape[1] != wanted or values.dtype.kind not in "fiu":
            raise RunError(
                f"{model.path}: expected {wanted} numbers a row of output '{output}' ({kind}), "
                f"found {numbers.shape[1]} of {values.dtype}"
            )
        if not isinstance(label, NumberLabel) and not model.has_labels:
            _check_probabilities(model.path, output, numbers, sums=kind == "category")
    return predicted


def _check_probabilities(path: Path, output: str, numbers: np.ndarray, sums: bool) -> None:
    finite = numbers[np.isfinite(numbers).all(axis=1)]
    wrong = ((finite < -ROUNDING) | (finite > 1 + ROUNDING)).any(axis=1)
    if sums:
        wrong |= np.abs(finite.sum(axis=1) - 1) > ROUNDING
    if wrong.any():
        found = np.array2string(finite[wrong][0][:SHOWN], precision=3)
        raise RunError(
            f"{path}: expected probabilities of output '{output}', found {found}: end the model in "
            "a softmax or sigmoid"
        )


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
    task: Evaluated,
    models: Mapping[str, Path],
    examples: Folders,
    folder: Path,
) -> None:
    """Adds to a Beam pipeline the predictions for every row of a split.

    Args:
        pipeline: a Beam pipeline.
        task: what is measured.
        models: the SavedModel's folder of `CANDIDATE`, and of `CHAMPION` if there is one.
        examples: the folder of the split's tf.Examples, or those of several spans.
        folder: where predictions go.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = example_files(examples)
    # Under names of their own: files of several spans have the same, and these are not compressed.
    names = (f"{PREFIX}{place:05d}-of-{len(found):05d}" for place in range(len(found)))
    files = [(file, str(folder / name)) for file, name in zip(found, names, strict=True)]
    (
        pipeline
        | "Files to predict" >> beam.Create(files)
        | "Spread files" >> beam.Reshuffle()
        | "Predict" >> beam.ParDo(_PredictFile(partial(Predictor, task, models)))
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


def rejected_rows(task: Evaluated, evaluation: Path, before: RowsBefore | None = None) -> list[str]:
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
    check_limit(rejected, task.max_rejected, total, earlier)
    return [row.row for row in rejected]


def read_predictions(task: Evaluated, evaluation: Path, most: int | None = None) -> EvaluatedRows:
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
    outputs = task.outputs

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
