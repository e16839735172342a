"""Rows that cannot be used: how they are listed, and how many all steps together may reject."""

import csv
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import tensorflow as tf

from tfx_fusion.modules.errors import RejectedRowsError

REJECTED_FILE = "rejected_rows.csv"
SHOWN_ROWS = 3


class Rejected(NamedTuple):
    """A row by its id, the column or embedding that cannot be used (empty: the whole), and why."""

    row: str
    column: str
    reason: str

    def __str__(self) -> str:
        column = f"column {self.column!r}: " if self.column else ""
        return f"{self.row}, {column}{self.reason}"


def check_limit(
    rejected: Sequence[Rejected], max_rejected: float, total: int, earlier: int = 0, file: str = ""
) -> None:
    """Raises RejectedRowsError where more rows were rejected than `data.max_rejected` allows.

    Args:
        rejected: those that a step rejects.
        max_rejected: the share of all rows that may be.
        total: how many rows were read, those rejected among them.
        earlier: how many of them earlier steps have rejected.
        file: where they were read from, for the message.
    """
    count = len(rejected) + earlier
    if not rejected or count / total <= max_rejected:
        return
    before = f" ({earlier} of them by earlier steps)" if earlier else ""
    raise RejectedRowsError(
        f"{file and f'{file}: '}{count} of {total} rows were rejected{before}, "
        f"data.max_rejected allows {max_rejected * 100:g} %. First: {shown(rejected)}",
        rejected,
    )


def shown(rejected: Sequence[Rejected]) -> str:
    """The first of some rows, in one line."""
    return "; ".join(map(str, rejected[:SHOWN_ROWS]))


def write_rejected(folder: str, rejected: Iterable[tuple[str, str, str]]) -> str:
    """Writes rejected rows with their reasons as a CSV file; returns its path."""
    tf.io.gfile.makedirs(folder)
    file = f"{folder}/{REJECTED_FILE}"
    with tf.io.gfile.GFile(file, "w") as stream:
        writer = csv.writer(stream)
        writer.writerow(Rejected._fields)
        writer.writerows(
            [value.encode("utf-8", "replace").decode() for value in item] for item in rejected
        )
    return file


def read_rejected(folder: str) -> list[Rejected]:
    """What `write_rejected` wrote into a folder."""
    with tf.io.gfile.GFile(f"{folder}/{REJECTED_FILE}") as stream:
        return [Rejected(**row) for row in csv.DictReader(stream)]
