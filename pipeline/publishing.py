"""The publish folder that a command means."""

from __future__ import annotations

from pathlib import Path

from tfx_fusion.modules.spec import load_specification


def publish_folder(file: Path) -> Path:
    """The publish folder of a specification, or the folder itself.

    A folder is for where there is no specification: on the machine that serves, say.
    """
    return file if file.is_dir() else load_specification(file).publish.path
