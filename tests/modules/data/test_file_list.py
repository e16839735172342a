"""The files of an artifact are read as they were recorded, or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from tfx_fusion.modules.data.file_list import (
    LIST_FILE,
    check_files,
    example_files,
    is_transformed,
    list_files,
)
from tfx_fusion.modules.errors import RunError

NAMES = [f"data_tfrecord-{number:05d}-of-00003" for number in range(3)]


def write(path: Path, rows: int) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for number in range(rows):
            writer.write(f"row {number}".encode())


@pytest.fixture
def split(tmp_path: Path) -> Path:
    """Three shards of 0, 1 and 2 rows."""
    split = tmp_path / "examples [1] st*r?" / "Split-train"
    split.mkdir(parents=True)
    for rows, name in enumerate(NAMES):
        write(split / name, rows)
    return split


def names(split: Path) -> list[str]:
    return [Path(file).name for file in example_files(str(split))]


def test_the_list_holds_sizes_rows_and_digests(split: Path) -> None:
    list_files(split.parent)

    listed = json.loads((split.parent / LIST_FILE).read_text())["files"]

    assert list(listed) == [f"Split-train/{name}" for name in NAMES]
    assert [file["rows"] for file in listed.values()] == [0, 1, 2]
    assert [file["size"] for file in listed.values()] == [0, 21, 42]
    assert len({file["digest"] for file in listed.values()}) == 3


def cut(split: Path) -> None:
    os.truncate(split / NAMES[2], 21)


def change(split: Path) -> None:
    before = (split / NAMES[1]).stat()
    write(split / NAMES[1], 0)
    (split / NAMES[1]).write_bytes(b"x" * before.st_size)
    os.utime(split / NAMES[1], ns=(before.st_atime_ns, before.st_mtime_ns))


DISTURBANCES = [
    pytest.param(lambda split: (split / NAMES[1]).unlink(), NAMES[1], id="deleted"),
    pytest.param(cut, NAMES[2], id="cut"),
    pytest.param(change, NAMES[1], id="changed-with-its-size-and-time-kept"),
    pytest.param(
        lambda split: write(split / "data_tfrecord-00000-of-00002", 2),
        "data_tfrecord-00000-of-00002",
        id="added-by-another-run",
    ),
    pytest.param(
        lambda split: (split / NAMES[2]).rename(split / "data_tfrecord-00003-of-00003"),
        NAMES[2],
        id="renamed",
    ),
]


@pytest.mark.parametrize(("disturb", "named"), DISTURBANCES)
def test_a_disturbed_artifact_is_refused_by_the_name_of_its_file(
    split: Path, disturb: Callable[[Path], None], named: str
) -> None:
    digest = list_files(split.parent)
    check_files(split.parent, digest)
    assert names(split) == NAMES

    disturb(split)

    for look in (lambda: check_files(split.parent, digest), lambda: example_files(str(split))):
        with pytest.raises(RunError) as caught:
            look()
        assert str(caught.value).startswith(f"{split / named}: ")
        assert str(caught.value).endswith(f"delete {split.parent}")


@pytest.mark.parametrize("content", [b"", b"{", b'{"files": {}}'])
def test_a_damaged_list_is_refused(split: Path, content: bytes) -> None:
    digest = list_files(split.parent)
    (split.parent / LIST_FILE).write_bytes(content)

    with pytest.raises(RunError, match=LIST_FILE):
        check_files(split.parent, digest)


def test_without_its_list_an_artifact_must_be_the_one_that_was_listed(split: Path) -> None:
    digest = list_files(split.parent)
    (split.parent / LIST_FILE).unlink()
    check_files(split.parent, digest)
    write(split / NAMES[0], 1)

    with pytest.raises(RunError, match="missing or were changed"):
        check_files(split.parent, digest)


def test_a_folder_of_a_single_file_holds_no_list(tmp_path: Path) -> None:
    (tmp_path / "schema.pbtxt").write_text("a")
    digest = list_files(tmp_path, store=False)
    assert [file.name for file in tmp_path.iterdir()] == ["schema.pbtxt"]
    (tmp_path / "schema.pbtxt").write_text("b")

    with pytest.raises(RunError, match=f"^{tmp_path}: its files are missing or were changed"):
        check_files(tmp_path, digest)


# What another component wrote, without a list


@pytest.mark.parametrize(
    ("disturb", "message"),
    [
        pytest.param(
            lambda split: (split / NAMES[0]).unlink(), f"{NAMES[0]}: the file is missing", id="gone"
        ),
        pytest.param(
            lambda split: write(split / "data_tfrecord-00000-of-00016", 2),
            "it holds the files of several runs (-of-00003, -of-00016)",
            id="two-runs",
        ),
        pytest.param(
            lambda split: (split / "rows.csv").write_text("a"), "rows.csv: expected", id="other"
        ),
    ],
)
def test_files_without_a_list_must_be_complete_by_their_names(
    split: Path, disturb: Callable[[Path], None], message: str
) -> None:
    (split / ".data_tfrecord-00000-of-00003.tmp").write_bytes(b"of a worker that died")
    assert names(split) == NAMES

    disturb(split)

    with pytest.raises(RunError) as caught:
        example_files(str(split))
    assert message in str(caught.value)


def test_materialized_examples_and_several_spans_are_read_in_their_order(tmp_path: Path) -> None:
    first, second = tmp_path / "1" / "Split-train", tmp_path / "2" / "Split-train"
    wanted = [
        first / "transformed_examples-00000-of-00002.gz",
        first / "transformed_examples-00001-of-00002.gz",
        second / "data_tfrecord-00000-of-00001.gz",
    ]
    for path in wanted:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    assert example_files([str(first), str(second)]) == list(map(str, wanted))
    assert [is_transformed(str(path)) for path in wanted] == [True, True, False]
    wanted[0].unlink()
    with pytest.raises(
        RunError, match=r"transformed_examples-00000-of-00002\.gz: the file is miss"
    ):
        example_files(str(first))


def test_a_neighbour_that_the_name_would_match_as_a_pattern_is_not_read(tmp_path: Path) -> None:
    for folder in ("st*r", "star", "[ab]", "a"):
        split = tmp_path / folder / "Split-eval"
        split.mkdir(parents=True)
        write(split / "data_tfrecord-00000-of-00001", 1)

    for folder in ("st*r", "[ab]"):
        split = tmp_path / folder / "Split-eval"
        assert example_files(str(split)) == [str(split / "data_tfrecord-00000-of-00001")]
