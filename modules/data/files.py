"""How the files of a split are named."""

from __future__ import annotations

import tensorflow as tf


def example_files(folder: str) -> list[str]:
    """The record files of a split, in the data's order."""
    return sorted(tf.io.gfile.glob(f"{folder}/data_tfrecord-*"))


def aside_of(file: str) -> str:
    """Where a record file is written before it takes its name: no reader's pattern matches it."""
    folder, _, name = file.rpartition("/")
    return f"{folder}/.{name}.tmp"
