"""The answers expected of a served model: those of the exported model, from the examples."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.preprocessing.graph import DTYPES
from tfx_fusion.modules.spec import CategoryLabel, NumberLabel, Specification, stored_columns
from tfx_fusion.modules.tokens.loading import load_saved_model
from tfx_fusion.modules.training.export import EXAMPLES_SIGNATURE
from tfx_fusion.modules.training.losses import is_binary

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Expected:
    """Rows as a client sends them, and the answers to them, `(rows, …)`."""

    row_ids: list[str]
    inputs: Arrays
    outputs: Arrays


def expected(version: Path, specification: Specification, split: str, rows: int) -> Expected:
    """The first rows of a split with the predictions of the signature that the Evaluator reads.

    Rows without a finite prediction are left out, as in the evaluation.

    Args:
        version: the exported model.
        specification: what it was made from.
        split: the folder of the split's tf.Examples.
        rows: how many at most.
    """
    records = tf.data.TFRecordDataset(example_files(split)).as_numpy_iterator()
    serialized = tf.constant(list(islice(records, rows)))
    if not len(serialized):
        raise RunError(f"{split}: expected rows to check the served model with, found none")
    loaded = load_saved_model(str(version))
    served = loaded.signatures["serving_default"].structured_input_signature[1]
    spec = {
        name: tf.io.FixedLenFeature(shape, DTYPES[dtype])
        for name, (shape, dtype) in stored_columns(specification.features).items()
        if name in served
    }
    parsed = tf.io.parse_example(
        serialized, {**spec, "row_id": tf.io.FixedLenFeature((), tf.string)}
    )
    predicted = {
        name: tensor.numpy()
        for name, tensor in loaded.signatures[EXAMPLES_SIGNATURE](serialized).items()
    }
    usable = np.ones(len(serialized), bool)
    for values in predicted.values():
        usable &= np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if not usable.any():
        raise RunError(f"{split}: expected rows with a finite prediction, found none")
    outputs: Arrays = {}
    for name in specification.outputs:
        outputs.update(_answers(specification, name, predicted[name][usable]))
    return Expected(
        [row_id.decode() for row_id in parsed["row_id"].numpy()[usable]],
        {name: parsed[name].numpy()[usable] for name in spec},
        outputs,
    )


def _answers(specification: Specification, name: str, predicted: np.ndarray) -> Arrays:
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
