"""Records by their number, against TensorFlow's own reader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.data import records
from tfx_fusion.modules.data.records import Records, record_dataset
from tfx_fusion.modules.errors import RunError


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three files of 7, 0 and 40 records, of 0 to 5,000 bytes."""
    random = np.random.default_rng(4)
    paths = []
    for place, count in enumerate((7, 0, 40)):
        paths.append(str(tmp_path / f"data-{place}"))
        with tf.io.TFRecordWriter(paths[-1]) as writer:
            for _ in range(count):
                writer.write(random.bytes(int(random.integers(5000))))
    return paths


def test_every_record_is_the_one_that_tensorflow_reads(files: list[str]) -> None:
    given = Records(files)
    expected = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    assert len(given) == 47
    assert list(given.read(tf.range(47, dtype=tf.int64)).numpy()) == expected
    assert list(given.read(tf.constant([46, 0, 8, 8], tf.int64)).numpy()) == [
        expected[46], expected[0], expected[8], expected[8],
    ]  # fmt: skip


def test_headers_that_a_block_cuts_in_two_are_read(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "READ_AT_ONCE", 13)
    assert len(Records(files)) == 47


def test_it_reads_inside_a_pipeline_of_tf_data(files: list[str]) -> None:
    given = Records(files)
    batches = tf.data.Dataset.range(47).batch(10).map(given.read)
    read = [record for batch in batches for record in batch.numpy()]
    assert read == [record.numpy() for record in tf.data.TFRecordDataset(files)]


def test_no_files_hold_no_records() -> None:
    assert len(Records([])) == 0


@pytest.mark.parametrize("cut", [1, 5, 16])
def test_a_file_that_is_cut_short_is_named_with_its_record(files: list[str], cut: int) -> None:
    path = Path(files[0])
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(RunError, match=r"data-0: record 6 is cut short or damaged"):
        Records(files)


def test_a_length_that_was_changed_is_noticed_at_once(files: list[str]) -> None:
    path = Path(files[0])
    content = bytearray(path.read_bytes())
    content[0] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=r"data-0: record 0 is cut short or damaged"):
        Records(files)


def test_a_record_that_was_changed_is_noticed_when_it_is_read(files: list[str]) -> None:
    path = Path(files[2])
    content = bytearray(path.read_bytes())
    content[-6] ^= 1
    path.write_bytes(content)
    given = Records(files)
    with pytest.raises(RunError, match=r"data-2: record 39 is cut short or damaged"):
        given.read(tf.constant([46], tf.int64))


def test_a_compressed_file_with_a_plain_name_is_refused(tmp_path: Path) -> None:
    file = str(tmp_path / "data")
    with tf.io.TFRecordWriter(file, "GZIP") as writer:
        writer.write(b"row")
    with pytest.raises(RunError) as caught:
        Records([file])
    assert str(caught.value) == (
        f"{file}: expected plain records, found a file compressed with gzip: its name must end in "
        ".gz"
    )


def compressed(path: Path, records: list[bytes]) -> str:
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in records:
            writer.write(record)
    return str(path)


def test_compressed_files_are_read_as_plain_ones_are(files: list[str], tmp_path: Path) -> None:
    expected = [record.numpy() for record in tf.data.TFRecordDataset(files)]
    mixed = [compressed(tmp_path / "a.gz", expected[:5]), *files]
    given = Records(mixed)

    assert len(given) == 52
    assert list(given.read(tf.constant([51, 4, 5, 0], tf.int64)).numpy()) == [
        expected[46], expected[4], expected[0], expected[0],
    ]  # fmt: skip
    assert list(record_dataset(mixed).as_numpy_iterator()) == [*expected[:5], *expected]
    assert list(record_dataset([]).as_numpy_iterator()) == []


def test_the_plain_copy_of_a_compressed_file_leaves_nothing_behind(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside = tmp_path / "temporary"
    aside.mkdir()
    monkeypatch.setattr(records.tempfile, "tempdir", str(aside))
    given = Records([compressed(tmp_path / "a.gz", [b"one", b"two"])])

    assert given.read(tf.constant([1], tf.int64)).numpy().tolist() == [b"two"]
    assert list(aside.iterdir()) == []


def test_a_compressed_file_that_is_cut_short_is_named(tmp_path: Path) -> None:
    path = Path(compressed(tmp_path / "a.gz", [b"one" * 500]))
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match=r"a\.gz: the compressed file is cut short or damaged: "):
        Records([str(path)])


def test_a_record_without_a_name_goes_by_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "Split-train"
    folder.mkdir()
    given = Records([
        compressed(folder / name, [b"one", b"two"]) for name in ("first.gz", "second.gz")
    ])  # fmt: skip
    assert [given.name(n) for n in (1, 2)] == [
        "record 1 of Split-train/first.gz", "record 0 of Split-train/second.gz",
    ]  # fmt: skip
