"""Whole files or none: everything is written aside and then renamed."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tfx_fusion.modules.errors import RunError


def write_text(path: Path, text: str) -> None:
    """Writes a text file atomically, and makes its folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    aside.write_text(text, encoding="utf-8")
    aside.replace(path)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A file to write, of the same ending, that takes its name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill that takes its name only when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        shutil.rmtree(path, ignore_errors=True)
        aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


# TensorFlow and Beam take a path with these for a pattern, which other folders match as well.
PATTERN = "*?[\\"
UNUSABLE = ("Cc", "Cs")  # control characters, and what is no UTF-8 (as Python decodes it)
# Linux allows 4,096; a run appends the names of its steps' files.
MOST_BYTES = 3_500


def check_path(path: Path, key: str) -> None:
    """Raises RunError for a path that TensorFlow, Beam or the file system would not take as it is.

    `key` says what the path is of.
    """
    found = sorted(set(PATTERN) & set(str(path)))
    if found:
        raise RunError(
            f"{key}: {path}: TensorFlow reads {' and '.join(found)} in a path as a pattern: rename "
            "the folder"
        )
    if any(unicodedata.category(character) in UNUSABLE for character in str(path)):
        raise RunError(
            f"{key}: {str(path)!r}: expected UTF-8 without control characters: rename the folder"
        )
    length = len(str(path).encode())
    if length > MOST_BYTES:
        raise RunError(
            f"{key}: {path}: the path has {length:,} bytes, at most {MOST_BYTES:,} leave room for "
            "the files of the steps: move the folder"
        )
