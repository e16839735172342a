"""The digest of the data: it changes with what a run would read, and with nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_fusion.modules.data.fingerprint import fingerprint
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Feature, ImageFeature, SequenceFeature, TextFeature

FEATURES: dict[str, Feature] = {
    "image": ImageFeature(type="image", column="image", shape=(8, 8, 3)),
    "steps": SequenceFeature(type="sequence", column="steps", shape=(2, 1)),
    "words": TextFeature(type="text", column="words", encoding="string"),
}
CSV = "id,image,steps,words\n1,a.png,a.npy,red\n2,b.png,[1.0],green\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.csv").write_text(CSV)
    for name in ("a.png", "b.png", "a.npy"):
        (folder / name).write_bytes(name.encode())
    return folder


def put_another(path: Path) -> None:
    """Another file of the same name, size and time of change, as from an archive."""
    state, other = path.stat(), path.with_name("other")
    other.write_bytes(path.read_bytes()[::-1])
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)


def touch_later(path: Path) -> None:
    changed = path.stat().st_mtime_ns + 1_000_000
    os.utime(path, ns=(changed, changed))


def test_the_same_data_have_the_same_digest(folder: Path) -> None:
    first = fingerprint(folder / "rows.csv", FEATURES)

    assert first == fingerprint(folder / "rows.csv", FEATURES)
    assert len(first) == 64


def test_a_folder_that_was_moved_has_the_same_digest(folder: Path, tmp_path: Path) -> None:
    before = fingerprint(folder / "rows.csv", FEATURES)

    folder.rename(tmp_path / "moved")

    assert fingerprint(tmp_path / "moved" / "rows.csv", FEATURES) == before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            lambda folder: (folder / "rows.csv").write_text(CSV.replace("red", "rad")), id="a-cell"
        ),
        pytest.param(
            lambda folder: (folder / "rows.csv").write_text(CSV + "3,a.png,a.npy,blue\n"),
            id="a-row-more",
        ),
        pytest.param(lambda folder: (folder / "a.png").write_bytes(b"other"), id="an-image"),
        pytest.param(lambda folder: touch_later(folder / "a.png"), id="an-image-of-the-same-size"),
        pytest.param(
            lambda folder: put_another(folder / "a.png"), id="another-of-the-same-size-and-time"
        ),
        pytest.param(lambda folder: (folder / "b.png").unlink(), id="an-image-taken-away"),
        pytest.param(lambda folder: (folder / "a.npy").write_bytes(b"other"), id="a-sequence"),
    ],
)
def test_a_change_of_what_is_read_changes_the_digest(
    folder: Path, change: Callable[[Path], object]
) -> None:
    before = fingerprint(folder / "rows.csv", FEATURES)

    change(folder)

    assert fingerprint(folder / "rows.csv", FEATURES) != before


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda folder: touch_later(folder / "rows.csv"), id="time-of-the-data-file"),
        pytest.param(lambda folder: (folder / "c.png").write_bytes(b"new"), id="an-unnamed-file"),
    ],
)
def test_a_change_of_anything_else_does_not(folder: Path, change: Callable[[Path], object]) -> None:
    before = fingerprint(folder / "rows.csv", FEATURES)

    change(folder)

    assert fingerprint(folder / "rows.csv", FEATURES) == before


def test_media_count_only_where_a_feature_reads_them(folder: Path) -> None:
    words = {"words": FEATURES["words"]}
    before = fingerprint(folder / "rows.csv", words)

    (folder / "a.png").write_bytes(b"other")

    assert fingerprint(folder / "rows.csv", words) == before


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(CSV.encode() + b"3,a.png\n", id="a-row-of-another-width"),
        pytest.param(CSV.encode() + b"3,none.png,a.npy,x\n", id="a-missing-image"),
        pytest.param(CSV.encode() + b"3," + b"x" * 5000 + b",[1],x\n", id="a-long-cell"),
        pytest.param(CSV.encode() + b"3,f\xe4r.png,[1],x\n", id="broken-utf-8"),
    ],
)
def test_bad_rows_are_left_to_the_run_to_report(folder: Path, content: bytes) -> None:
    (folder / "rows.csv").write_bytes(content)

    assert fingerprint(folder / "rows.csv", FEATURES)


def test_a_media_file_of_a_name_that_is_not_utf_8_is_no_obstacle(folder: Path) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/f\xe4r.png")).write_bytes(b"image")
    (folder / "rows.csv").write_bytes(CSV.encode() + b"3,f\xe4r.png,[1],x\n")

    assert fingerprint(folder / "rows.csv", FEATURES)


def test_images_inside_parquet_are_part_of_its_content(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    features = {"image": FEATURES["image"]}
    digests = set()
    for image in (b"one", b"two"):
        pq.write_table(pa.table({"image": [image]}), path)
        digests.add(fingerprint(path, features))

    assert len(digests) == 2


def test_every_file_of_a_pattern_counts(tmp_path: Path) -> None:
    pattern = tmp_path / "rows-*.tfrecord"
    (tmp_path / "rows-0.tfrecord").write_bytes(b"a")
    one = fingerprint(pattern, FEATURES)
    (tmp_path / "rows-1.tfrecord").write_bytes(b"b")
    two = fingerprint(pattern, FEATURES)
    (tmp_path / "rows-1.tfrecord").write_bytes(b"c")

    assert len({one, two, fingerprint(pattern, FEATURES)}) == 3


@pytest.mark.parametrize("name", ["none.csv", "none.parquet", "none-*.tfrecord"])
def test_a_missing_data_file_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError) as caught:
        fingerprint(tmp_path / name, FEATURES)

    assert str(caught.value) == f"{tmp_path / name}: no such data file"
