"""The splits of the rows: which one a row goes to, and the record files of each."""

from __future__ import annotations

import hashlib
from pathlib import Path

import tensorflow as tf

from tfx_fusion.modules.data.data_file import Row
from tfx_fusion.modules.data.rows import RowError
from tfx_fusion.modules.files import put_in_place
from tfx_fusion.modules.spec import ColumnSplit, HashSplit

SPLITS = ("train", "eval")


def split_of(row: Row, split: HashSplit | ColumnSplit) -> str:
    """`train` or `eval`: as a column says, or by a hash that is the same on every machine.

    Raises RowError where the column is missing, empty or names no split.
    """
    column = split.by if isinstance(split, HashSplit) else split.column
    if row.get(column) in (None, ""):
        raise RowError(column, "expected a value to split by, found none")
    value = row[column]
    text = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else str(value)
    if isinstance(split, ColumnSplit):
        if text not in SPLITS:
            raise RowError(column, f"expected train or eval, found {text!r}")
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return "train" if share < split.train else "eval"


def example_files(folder: str) -> list[str]:
    """The record files of a split's folder, in the order of the data file's rows."""
    return sorted(tf.io.gfile.glob(f"{folder}/data_tfrecord-*"))


def temporary_file(file: str) -> str:
    """Where a record file is written before its rename: no reader's pattern matches this name."""
    folder, _, name = file.rpartition("/")
    return f"{folder}/.{name}.tmp"


def finish(file: str) -> None:
    """Gives a record file that was written under its temporary name its own."""
    if "://" in file:  # in a store of objects, where TensorFlow's rename is all there is
        tf.io.gfile.rename(temporary_file(file), file, overwrite=True)
    else:
        put_in_place(Path(temporary_file(file)), Path(file))
