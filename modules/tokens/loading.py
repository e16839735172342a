"""Operations of tensorflow-text, which are not TensorFlow's own until it is imported."""

import importlib
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import UserError


def import_tensorflow_text() -> None:
    """Registers tensorflow-text's operations. Raises UserError where it is not installed."""
    try:
        importlib.import_module("tensorflow_text")
    except ImportError as error:
        raise UserError(
            f"this tokenizer needs tensorflow-text, which cannot be imported ({error}): install "
            "the extra 'hub': pip install 'tfx-fusion[hub]'"
        ) from error


def load_saved_model(path: str) -> Any:
    """A loaded SavedModel; tensorflow-text is imported only for one that has its operations.

    Its import takes seconds, and most models need none of it.
    """
    try:
        return tf.saved_model.load(path)
    except (tf.errors.NotFoundError, FileNotFoundError) as error:
        if "Op type not registered" not in str(error):
            raise
    import_tensorflow_text()
    return tf.saved_model.load(path)
