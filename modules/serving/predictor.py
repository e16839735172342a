"""Predictions of rows, wherever the model is: in this process or behind a server."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from tfx_fusion.modules.data.data_file import BadRow, Row
from tfx_fusion.modules.data.rows import RowError, RowParser
from tfx_fusion.modules.spec import NumberLabel, Specification, stored_columns

BATCH = 64


@dataclass
class Prediction:
    """The prediction of one row: a value per output, or the reason why the row cannot be used.

    For a category, or several of them, the value is `{class: probability}`, for a number the
    number.
    """

    row_id: str
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


class RowsError(Exception):
    """The model cannot predict some of the rows of a batch."""


Parsed = tuple[Prediction, dict[str, np.ndarray]]


class Predictor:
    """The base of all models that predict rows, in this process or remote."""

    def __init__(self, specification: Specification, inputs: Collection[str]) -> None:
        """`inputs` are what the model's `serving_default` takes: features, lengths of sequences."""
        self.specification = specification
        self._features = {
            name: feature for name, feature in specification.features.items() if name in inputs
        }
        # Models that were published before there were lengths take none.
        self._columns = {
            name: stored
            for name, stored in stored_columns(self._features).items()
            if name in inputs
        }

    def ask(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The outputs of `serving_default` for `{input: (batch, …)}`.

        Raises RowsError where it is the rows that cannot be answered, RunError for anything else.
        """
        raise NotImplementedError

    def predict(
        self,
        rows: Iterable[tuple[str, Row | BadRow]],
        folder: Path,
        media_root: Path | None = None,
    ) -> Iterator[Prediction]:
        """Predictions in the rows' order, in batches; a bad row gets its reason.

        Media paths are relative to `folder`, and lie below `media_root`, which is `folder` unless
        given.
        """
        parser = RowParser(self._features, {}, folder, media_root)
        iterator = iter(rows)
        while batch := list(islice(iterator, BATCH)):
            answers = [Prediction(row_id) for row_id, _ in batch]
            good: list[Parsed] = []
            for answer, (_, row) in zip(answers, batch, strict=True):
                try:
                    if isinstance(row, BadRow):
                        raise RowError("", row.reason)
                    good.append((answer, parser.features_only(row)))
                except RowError as error:
                    answer.error = str(error)
            if good:
                self._fill(good)
            yield from answers

    def _fill(self, good: list[Parsed]) -> None:
        inputs = {name: np.stack([values[name] for _, values in good]) for name in self._columns}
        try:
            given = self.ask(inputs)
        except RowsError as error:
            if len(good) == 1:
                good[0][0].error = str(error)
                return
            half = len(good) // 2  # one bad row must not fail the others
            self._fill(good[:half])
            self._fill(good[half:])
            return
        for position, (answer, _) in enumerate(good):
            answer.outputs = self._outputs_of(given, position)

    def _outputs_of(self, given: dict[str, np.ndarray], position: int) -> dict[str, Any]:
        outputs: dict[str, Any] = {}
        for name in self.specification.outputs:
            label = self.specification.label_of(name)
            if isinstance(label, NumberLabel):
                outputs[name] = float(given[name][position][0])
                continue
            chances = given[f"{name}_probabilities"][position]
            outputs[name] = {
                text: float(chance) for text, chance in zip(label.classes, chances, strict=True)
            }
        return outputs
