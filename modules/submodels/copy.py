"""Where a sub-model's copy lies inside its artifact."""

from __future__ import annotations

import shutil
from pathlib import Path

from tfx_fusion.modules.files import whole_folder
from tfx_fusion.modules.submodels.inspection import detect_format

KERAS_NAME = "model.keras"
SAVED_MODEL_NAME = "model"


def copy_submodel(path: Path, folder: Path) -> Path:
    """Copies a `.keras` file or SavedModel folder into `folder`, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    if detect_format(path) == "keras":
        shutil.copy2(path, folder / KERAS_NAME)
        return folder / KERAS_NAME
    with whole_folder(folder / SAVED_MODEL_NAME) as aside:
        shutil.copytree(path, aside, dirs_exist_ok=True)
    return folder / SAVED_MODEL_NAME


def copied_submodel(folder: Path) -> Path:
    """The copy inside an artifact's folder."""
    keras_file = folder / KERAS_NAME
    return keras_file if keras_file.is_file() else folder / SAVED_MODEL_NAME
