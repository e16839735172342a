"""The splits of the rows, and which one a row goes to."""

import hashlib

from tfx_fusion.modules.data.data_file import Row
from tfx_fusion.modules.data.rows import RowError
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
