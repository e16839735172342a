"""What folders hold, for tests that compare them."""

from __future__ import annotations

from pathlib import Path


def files(folder: Path) -> dict[str, bytes]:
    """The files below a folder, by their paths in it."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def visible(serving: Path) -> list[str]:
    """The versions of a publish folder that a model server sees."""
    return sorted(path.name for path in serving.iterdir() if path.name.isdecimal())
