"""The published versions of a model, as TF Serving reads them: folders whose names are numbers."""

from __future__ import annotations

from pathlib import Path


def holds_model(folder: Path) -> bool:
    """Whether a folder is a published version: it holds a SavedModel."""
    return (folder / "saved_model.pb").is_file()


def newest_version(folder: Path) -> Path | None:
    """The newest version in a publish folder; None where nothing has been published yet."""
    versions = [path for path in folder.glob("*") if path.name.isdecimal() and holds_model(path)]
    return max(versions, key=lambda path: int(path.name), default=None)
