"""A published model folder: finding it, reading its specification, asking it for predictions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from modules.errors import RunError
from modules.examples.manifest import BadRow, Row
from modules.examples.rows import RowError, RowParser
from modules.preprocessing.graph import DTYPES
from modules.registry.versions import holds_model, newest_version
from modules.spec import NumberLabel, Specification, stored
from modules.trainer.export import SPECIFICATION_FILE

BATCH = 64


@dataclass
class Prediction:
    """What the model says of one row: a value per output, or why the row cannot be used.

    For a category, or several of them, the value is `{class: probability}`, for a number the
    number.
    """

    row_id: str
    outputs: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def find_version(folder: Path) -> Path:
    """The newest version in a publish folder, or the folder itself if it is a version.

    Raises RunError where it is neither.
    """
    if holds_model(folder):
        return folder
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; give a publish folder or one of its versions")
    version = newest_version(folder)
    if version is None:
        raise RunError(f"{folder}: expected version folders as TF Serving reads them, found none")
    return version


def read_specification(version: Path) -> Specification:
    """The specification that a version was made from.

    Raises RunError where the folder was not published by this project.
    """
    file = version / SPECIFICATION_FILE
    if not file.is_file():
        raise RunError(f"{version}: no {SPECIFICATION_FILE} in it: not a model of this project")
    return Specification.model_validate_json(file.read_text())


class PublishedModel:
    """A loaded version folder, asked through its `serving_default` as a client would."""

    def __init__(self, version: Path) -> None:
        """Raises RunError where the folder was not published by this project or is damaged."""
        self.specification = read_specification(version)
        try:
            self._loaded = tf.saved_model.load(str(version))
        except Exception as error:  # TensorFlow raises many types here; all mean the same
            raise RunError(f"{version}: TensorFlow cannot load the model: {error}") from error
        self._signature = self._loaded.signatures["serving_default"]
        _, inputs = self._signature.structured_input_signature
        self._features = {
            name: feature for name, feature in self.specification.features.items() if name in inputs
        }

    def predict(
        self, rows: Iterable[tuple[str, Row | BadRow]], folder: Path
    ) -> Iterator[Prediction]:
        """Predictions in the rows' order, in batches; a bad row is answered with its reason.

        Media paths are relative to `folder`.
        """
        parser = RowParser(self._features, {}, folder)
        iterator = iter(rows)
        while batch := list(islice(iterator, BATCH)):
            answers = [Prediction(row_id) for row_id, _ in batch]
            good: list[tuple[Prediction, dict[str, np.ndarray]]] = []
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

    def _fill(self, good: list[tuple[Prediction, dict[str, np.ndarray]]]) -> None:
        inputs = {
            name: tf.constant(
                np.stack([values[name] for _, values in good]), DTYPES[stored(feature).dtype]
            )
            for name, feature in self._features.items()
        }
        given = {name: value.numpy() for name, value in self._signature(**inputs).items()}
        for position, (answer, _) in enumerate(good):
            for name in self.specification.outputs:
                label = self.specification.label_of(name)
                if isinstance(label, NumberLabel):
                    answer.outputs[name] = float(given[name][position][0])
                    continue
                chances = given[f"{name}_probabilities"][position]
                answer.outputs[name] = {
                    text: float(chance) for text, chance in zip(label.classes, chances, strict=True)
                }
