"""Which split a row goes to: by hash alike on every machine, or by the row's own word."""

from __future__ import annotations

import pytest

from tfx_fusion.modules.data.rows import RowError
from tfx_fusion.modules.data.split import SPLITS, split_of
from tfx_fusion.modules.spec import ColumnSplit, HashSplit

HALF = HashSplit(by="id", train=0.5, eval=0.5)
BY_COLUMN = ColumnSplit(column="part")


@pytest.mark.parametrize("train", [0.1, 0.5, 0.8, 0.99])
def test_a_hash_gives_each_split_close_to_its_share(train: float) -> None:
    split = HashSplit(by="id", train=train, eval=1 - train)

    found = [split_of({"id": str(number)}, split) for number in range(10_000)]

    assert set(found) == set(SPLITS)
    # Four standard deviations of a fair draw.
    assert found.count("train") / 10_000 == pytest.approx(
        train, abs=4 * (train * (1 - train) / 10_000) ** 0.5
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", "train"),
        ("2", "eval"),
        ("3", "train"),
        ("17", "train"),
        ("row-1", "train"),
        ("grün", "eval"),
    ],
)
def test_a_hash_never_changes(value: str, expected: str) -> None:
    # Written down here: another answer would move rows between the splits of a running project.
    assert split_of({"id": value}, HALF) == expected


def test_a_larger_share_keeps_the_rows_it_had() -> None:
    larger = HashSplit(by="id", train=0.7, eval=0.3)

    for number in range(1000):
        if split_of({"id": number}, HALF) == "train":
            assert split_of({"id": number}, larger) == "train"


@pytest.mark.parametrize(("one", "other"), [(17, "17"), (b"17", "17"), ("grün".encode(), "grün")])
def test_the_same_value_goes_to_the_same_split_in_every_format(one: object, other: str) -> None:
    thin = [HashSplit(by="id", train=share / 20, eval=1 - share / 20) for share in range(1, 20)]

    assert [split_of({"id": one}, split) for split in thin] == [
        split_of({"id": other}, split) for split in thin
    ]


def test_a_value_of_broken_bytes_still_has_a_split() -> None:
    assert split_of({"id": "\udcff"}, HALF) == split_of({"id": b"\xff"}, HALF)


@pytest.mark.parametrize("word", ["train", "eval"])
def test_a_column_says_the_split(word: str) -> None:
    assert split_of({"part": word}, BY_COLUMN) == word
    assert split_of({"part": word.encode()}, BY_COLUMN) == word


@pytest.mark.parametrize("word", ["test", "Train", " eval", "0"])
def test_a_column_that_names_no_split_is_refused(word: str) -> None:
    with pytest.raises(RowError) as caught:
        split_of({"part": word}, BY_COLUMN)

    assert str(caught.value) == f"column 'part': expected train or eval, found {word!r}"


@pytest.mark.parametrize("split", [HALF, BY_COLUMN], ids=["hash", "column"])
@pytest.mark.parametrize("row", [{}, {"id": "", "part": ""}, {"id": None, "part": None}])
def test_a_row_without_the_value_is_refused(
    split: HashSplit | ColumnSplit, row: dict[str, object]
) -> None:
    with pytest.raises(RowError) as caught:
        split_of(row, split)

    column = "id" if split is HALF else "part"
    assert str(caught.value) == f"column '{column}': expected a value to split by, found none"
