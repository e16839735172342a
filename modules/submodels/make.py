"""Makes a `.keras` file of an application or a preset, so that all else sees only files."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import keras

from tfx_fusion.modules.errors import SpecificationError, first_line
from tfx_fusion.modules.files import whole_file
from tfx_fusion.modules.spec import Submodel
from tfx_fusion.modules.submodels.application import new_application
from tfx_fusion.modules.submodels.naming import names_from_scratch
from tfx_fusion.modules.submodels.preset import new_backbone

# Random weights are the same ones each time they are made: a digest is taken of them.
SEED = 0
# Seconds without an answer after which a download is given up. Keras itself would wait for ever.
PATIENCE = 20


def make(submodel: Submodel, file: Path) -> None:
    """Writes the file whole or not at all.

    Raises SpecificationError, with keys below the sub-model's, where the model cannot be made.
    """
    keras.utils.set_random_seed(SEED)
    new = new_application if submodel.application is not None else new_backbone
    with names_from_scratch(), _patience():
        model = new(submodel)
    try:
        with whole_file(file) as aside:
            model.save(aside)
    except Exception as error:
        raise SpecificationError(
            [f"{submodel.source[0]}: {file}: it cannot be written: {first_line(error)}"]
        ) from error


@contextmanager
def _patience() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
