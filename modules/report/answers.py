"""What the model answered on the evaluation split, counted: which classes it takes for which."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from tfx_fusion.modules.evaluation.predictions import EvaluatedRows, read_predictions
from tfx_fusion.modules.report.finished import FinishedRun
from tfx_fusion.modules.spec import CategoryLabel, MultiLabel, NumberLabel, Specification

# More rows would take long to draw, and change little in a picture.
MOST_ROWS = 10_000
ROW_ID = "row_id"
YES = 0.5


@dataclass(frozen=True)
class Answers:
    """The model's answers to the rows of the evaluation split, by output.

    `examples` is the folder of their tf.Examples, in whose order the rows are.
    """

    specification: Specification
    examples: str
    rows: EvaluatedRows

    def truth(self, output: str) -> np.ndarray:
        """Class numbers `(rows,)`; 0 or 1 `(rows, classes)` of several classes; else numbers."""
        labels = self.rows.labels[output]
        if isinstance(self.specification.label_of(output), MultiLabel):
            return labels.astype(bool)
        flat = labels.reshape(-1)
        number = isinstance(self.specification.label_of(output), NumberLabel)
        return flat if number else flat.astype(int)

    def numbers(self, output: str) -> np.ndarray:
        """The predicted numbers `(rows,)`."""
        return self.rows.predictions[output].reshape(-1)

    def chances(self, output: str) -> np.ndarray:
        """The chance of each class `(rows, classes)`."""
        label = self.specification.label_of(output)
        chances = self.rows.predictions[output]
        if isinstance(label, CategoryLabel) and chances.shape[1] == 1:
            return np.concatenate([1 - chances, chances], axis=1)  # of the second of two classes
        return chances

    def wrongness(self, output: str) -> np.ndarray:
        """How wrong each row's prediction is, `(rows,)`; 0 where it is right.

        Of a class the chance that was not given to the true one, of several classes the largest
        such chance, of a number the absolute error. An answer that is no number is the worst.
        """
        truth = self.truth(output)
        label = self.specification.label_of(output)
        if isinstance(label, NumberLabel):
            wrong = np.abs(truth - self.numbers(output))
        elif isinstance(label, MultiLabel):
            chances = self.chances(output)
            missing = np.abs(truth - chances)
            wrong = np.where((chances > YES) != truth, missing, 0).max(axis=1)
        else:
            chances = self.chances(output)
            given = chances[np.arange(len(truth)), truth]
            wrong = np.where(chances.argmax(axis=1) != truth, 1 - given, 0)
        return np.nan_to_num(wrong, nan=np.inf)


def ask(run: FinishedRun) -> Answers | None:
    """Reads what the evaluation predicted for the first rows; None without an evaluation."""
    examples, evaluation = run.record.output("examples"), run.record.output("evaluation")
    if examples is None or evaluation is None:
        return None
    rows = read_predictions(run.specification, evaluation, MOST_ROWS)
    return Answers(run.specification, str(examples / "Split-eval"), rows)


def confusion(truth: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """How many rows of each class were taken for each, `(truth, chosen)`."""
    counts = np.zeros((classes, classes), int)
    np.add.at(counts, (truth, chosen), 1)
    return counts


def most_confused(counts: np.ndarray, most: int) -> list[tuple[int, int, int]]:
    """The pairs of classes that are most often confused, as (truth, chosen, rows)."""
    pairs = [
        (int(truth), int(chosen), int(counts[truth, chosen]))
        for truth, chosen in zip(*np.nonzero(counts), strict=True)
        if truth != chosen
    ]
    return sorted(pairs, key=lambda pair: (-pair[2], pair))[:most]


class ClassCounts(NamedTuple):
    """Rows by class, each `(classes,)`: that have it and were said to, only have it, only were."""

    found: np.ndarray
    overlooked: np.ndarray
    invented: np.ndarray


def class_counts(truth: np.ndarray, chances: np.ndarray) -> ClassCounts:
    """Counts each class's yeses, of truths and chances `(rows, classes)`."""
    said, has = chances > YES, truth.astype(bool)
    return ClassCounts(
        (said & has).sum(axis=0), (~said & has).sum(axis=0), (said & ~has).sum(axis=0)
    )
