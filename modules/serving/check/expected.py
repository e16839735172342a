"""The answers expected of a served model: those of the exported model, from the examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.published import read_specification
from tfx_fusion.modules.spec import (
    CategoryLabel,
    Fusion,
    ImageFeature,
    NumberLabel,
    length_name,
    variable_sequences,
)
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE
from tfx_fusion.modules.training.exported import (
    DEFAULT_SIGNATURE,
    ExportedModel,
    first_rows,
)
from tfx_fusion.modules.training.losses import is_binary

Arrays = dict[str, np.ndarray]
MODEL = "model"  # the name of a model that has none of its own


@dataclass(frozen=True)
class Expected:
    """Rows as a client sends them, `(rows, …)`, and the answers to them.

    `name` is the model's in the server, `malformed` are requests that it must refuse.
    """

    name: str
    row_ids: Sequence[str]
    inputs: Arrays
    outputs: Arrays
    malformed: Mapping[str, Arrays] = field(default_factory=dict)


def expected(version: Path, folders: Sequence[str], rows: int) -> Expected:
    """The first rows of a split with what the exported model answers in this process.

    A model of this project is asked by the signature that the Evaluator reads, so that the check
    goes from the examples to the served answer on two ways; any other by `serving_default`. Rows
    without a finite prediction are left out, as in the evaluation.

    Args:
        version: the exported model.
        folders: the folder of the split's tf.Examples, or those of several spans.
        rows: how many at most.

    Raises RunError where the model takes other features than the examples have.
    """
    found = first_rows(folders, rows)
    served = ExportedModel(version, (), DEFAULT_SIGNATURE)
    specification = _specification(version)
    optional = specification.features if specification else {}
    missing = {name for name, feature in optional.items() if feature.missing}
    given = served.feed(found, missing, pad=specification is not None)
    inputs = {name: value.numpy() for name, value in given.items()}
    if specification is None:
        outputs = served.answer(inputs, found.ids[0])
    else:
        by_examples = ExportedModel(version, specification.outputs, EXAMPLES_SIGNATURE)
        outputs = {}
        for name, values in by_examples.predict(found).items():
            outputs.update(_answers(specification, name, values))
    usable = np.ones(len(found), bool)
    for name, values in outputs.items():
        if len(values) != len(found):
            raise RunError(
                f"{version}: expected an answer for each of {len(found)} rows in '{name}', found "
                f"{len(values)}"
            )
        if values.dtype.kind == "f":
            usable &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not usable.any():
        raise RunError(f"{', '.join(folders)}: expected rows with a finite prediction, found none")
    inputs = {name: values[usable] for name, values in inputs.items()}
    return Expected(
        name=specification.name if specification else MODEL,
        row_ids=[found.ids[place] for place in np.flatnonzero(usable).tolist()],
        inputs=inputs,
        outputs={name: values[usable] for name, values in outputs.items()},
        malformed=_malformed(
            {name: values[:1] for name, values in inputs.items()},
            specification,
            served.takes_examples(found),
        ),
    )


def _specification(version: Path) -> Fusion | None:
    """What a model of this project was made from; None of any other."""
    try:
        return read_specification(version)
    except (RunError, ValidationError):
        return None


def _answers(specification: Fusion, name: str, predicted: np.ndarray) -> Arrays:
    label = specification.label_of(name)
    if isinstance(label, NumberLabel):
        return {name: predicted}
    if isinstance(label, CategoryLabel) and is_binary(specification, name):
        predicted = np.concatenate([1.0 - predicted, predicted], axis=1)
    classes = np.array([text.encode() for text in label.classes], dtype=object)
    return {
        f"{name}_probabilities": predicted,
        f"{name}_classes": np.tile(classes, (len(predicted), 1)),
    }


def _malformed(first: Arrays, specification: Fusion | None, of_examples: bool) -> dict[str, Arrays]:
    """Requests that no model can answer, made of a good one for a single row."""
    found: dict[str, Arrays] = {"inputs missing": {}}
    features = specification.features if specification else {}
    for name, values in first.items():
        deeper = np.stack([values] * 2, axis=-1)
        found[f"input '{name}' of another shape"] = {**first, name: deeper}
        if of_examples or isinstance(features.get(name), ImageFeature):
            what = "tf.Example" if of_examples else "picture"
            broken = np.array([f"no {what}".encode()], dtype=object)
            found[f"input '{name}' that is no {what}"] = {**first, name: broken}
    for name, sequence in variable_sequences(features).items():
        length = length_name(name)
        if length in first:
            longer = np.array([sequence.shape[0] + 1])
            found[f"input '{length}' of more steps than there are"] = {**first, length: longer}
    return found
