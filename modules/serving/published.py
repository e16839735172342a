"""A published version: reading its specification, asking it for predictions."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.serving.predictor import Predictor, RowsError
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.training.export import SPECIFICATION_FILE


def read_specification(version: Path) -> Specification:
    """The specification that a version was made from.

    Raises RunError where the folder was not published by this project.
    """
    file = version / SPECIFICATION_FILE
    if not file.is_file():
        raise RunError(f"{version}: no {SPECIFICATION_FILE} in it: not a model of this project")
    return Specification.model_validate_json(file.read_text())


class PublishedModel(Predictor):
    """A loaded version folder, asked through its `serving_default` as a client would."""

    def __init__(self, version: Path) -> None:
        """Raises RunError where the folder was not published by this project or is damaged."""
        specification = read_specification(version)
        try:
            self._loaded = tf.saved_model.load(str(version))
        except Exception as error:  # TensorFlow raises many types here
            raise RunError(f"{version}: TensorFlow cannot load the model: {error}") from error
        self._signature = self._loaded.signatures["serving_default"]
        self._inputs = self._signature.structured_input_signature[1]
        super().__init__(specification, self._inputs)

    def ask(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        tensors = {
            name: tf.constant(values, self._inputs[name].dtype) for name, values in inputs.items()
        }
        try:
            return {name: value.numpy() for name, value in self._signature(**tensors).items()}
        except tf.errors.InvalidArgumentError as error:
            raise RowsError(error.message.split("[Op:")[0].strip()) from None
