"""Keras without TensorFlow, for inferring shapes in a command that must answer at once."""

from __future__ import annotations

import importlib
import os
import sys

# Keras imports these where they are installed, for wrappers and viewers that nobody needs here;
# together they take a second and a half.
OPTIONAL = ("sklearn", "IPython", "matplotlib", "pandas")


def import_light_keras() -> None:
    """Imports Keras on its NumPy backend, where weights stay zeros.

    To be called before anything else imports Keras.
    """
    os.environ["KERAS_BACKEND"] = "numpy"
    hidden = [name for name in OPTIONAL if name not in sys.modules]
    for name in hidden:
        # An entry of None makes an import fail as if the package were absent (Python's import
        # reference, "The module cache").
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        importlib.import_module("keras")
    finally:
        for name in hidden:
            del sys.modules[name]
    from tfx_fusion.modules.keras_compat import skip_initializers

    skip_initializers()
