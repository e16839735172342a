"""Data that change between their fingerprint and the end of reading: put back or not, the step
fails."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from data_files import write_tfrecords
from PIL import Image

from tfx_fusion.modules.data.data_file import digest_bytes, read, shards
from tfx_fusion.modules.data.fingerprint import ShardDigest, fingerprint
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.data.write import RowCounts, collect, write_examples
from tfx_fusion.modules.errors import RunError

RUNNER = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
ROWS = 200


def table(shift: int) -> list[dict]:
    return [{"id": number, "size": number + shift} for number in range(ROWS)]


def write_csv(path: Path, shift: int) -> None:
    lines = [f"{row['id']},{row['size']}" for row in table(shift)]
    path.write_bytes(b"\xef\xbb\xbf" + "\n\n".join(["id,size", *lines]).encode())


def write_jsonl(path: Path, shift: int) -> None:
    lines = [f'{{"id": {row["id"]}, "size": {row["size"]}}}\n' for row in table(shift)]
    path.write_text("\n".join(lines))


def write_parquet(path: Path, shift: int) -> None:
    pq.write_table(pa.Table.from_pylist(table(shift)), path, row_group_size=70)


def write_records(path: Path, shift: int) -> None:
    compression = "GZIP" if path.suffix == ".gz" else ""
    write_tfrecords(path, table(shift), compression)


FORMATS = {
    "rows.csv": write_csv,
    "rows.jsonl": write_jsonl,
    "rows.parquet": write_parquet,
    "rows.tfrecord": write_records,
    "rows.tfrecord.gz": write_records,
}
every_format = pytest.mark.parametrize("name", FORMATS)


def source_of(path: Path, image: bool = False, sequence: bool = False) -> RowSource:
    features = {"size": {"type": "number", "column": "size"}}
    if image:
        features["image"] = {"type": "image", "column": "image", "shape": [4, 4, 3]}
    if sequence:
        missing = {"unreadable": "missing"}
        steps = {"type": "sequence", "column": "steps", "shape": [2, 1], "missing": missing}
        features["steps"] = steps
    return RowSource.model_validate(
        {
            "data": {"path": str(path), "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": features,
            "labels": {"id": {"type": "number", "column": "id"}},
        }
    )


def written(
    source: RowSource, out: Path, expected: str, after: Callable = lambda: None
) -> RowCounts:
    """The counts of rows that were written; `after` is called between reading and collecting."""
    folders = {split: str(out / split) for split in ("train", "eval")}
    with beam.Pipeline(options=PipelineOptions([RUNNER])) as pipeline:
        write_examples(pipeline, source, folders, str(out / "notes"))
    after()
    return collect(source, str(out / "notes"), str(out / "rejected"), expected)


@every_format
def test_what_is_read_is_what_was_digested(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FORMATS[name](path, 0)

    for shard in shards(path):
        parsed, skimmed = ShardDigest(), ShardDigest()
        assert list(read(shard, parsed))
        digest_bytes(shard, skimmed)
        assert parsed.hexdigest() == skimmed.hexdigest()


@every_format
def test_rows_that_were_swapped_while_they_were_read_are_found(tmp_path: Path, name: str) -> None:
    """Behind a link, so that nothing of the file itself says that another one was read."""
    for folder, shift in (("given", 0), ("other", 1)):
        (tmp_path / folder).mkdir()
        FORMATS[name](tmp_path / folder / name, shift)
    link = tmp_path / "data"

    def point_to(folder: str) -> None:
        link.unlink(missing_ok=True)
        link.symlink_to(folder)

    point_to("given")
    source = source_of(link / name)
    expected = fingerprint(link / name, source.features)
    counts = written(source, tmp_path / "undisturbed", expected)
    assert (counts.total, counts.fingerprint) == (ROWS, expected)

    point_to("other")
    with pytest.raises(RunError) as caught:
        written(source, tmp_path / "out", expected, lambda: point_to("given"))

    assert fingerprint(link / name, source.features) == expected
    assert str(caught.value).startswith(f"{link / name}: the data file, or a media file")
    assert str(caught.value).endswith("run again")


def test_rows_appended_after_the_fingerprint_are_found(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_csv(path, 0)
    source = source_of(path)
    expected = fingerprint(path, source.features)
    with path.open("a") as stream:
        stream.write("\n900,1\n")

    with pytest.raises(RunError, match="was changed while its rows were read"):
        written(source, tmp_path / "out", expected)


@pytest.fixture
def with_images(tmp_path: Path) -> RowSource:
    for number in range(4):
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"{number}.png")
    path = tmp_path / "rows.csv"
    path.write_text("id,size,image\n" + "".join(f"{n},1,{n}.png\n" for n in range(4)))
    return source_of(path, image=True)


def test_an_image_that_was_swapped_while_the_rows_were_read_is_found(
    with_images: RowSource, tmp_path: Path
) -> None:
    image = tmp_path / "2.png"
    expected = fingerprint(with_images.data.path, with_images.features)
    assert written(with_images, tmp_path / "undisturbed", expected).fingerprint == expected
    image.rename(tmp_path / "aside.png")
    Image.new("RGB", (4, 4), (0, 9, 9)).save(image)

    def put_back() -> None:
        (tmp_path / "aside.png").rename(image)

    with pytest.raises(RunError, match="or a media file that it names, was changed"):
        written(with_images, tmp_path / "out", expected, put_back)


def test_an_image_that_changes_between_its_state_and_its_content_is_named(
    with_images: RowSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfx_fusion.modules.data import write

    def states_then_change(folder: Path, row: dict, columns: list[str]) -> dict[str, str]:
        found = taken(folder, row, columns)
        os.utime(tmp_path / "2.png", (1, next(times)))
        return found

    times = count()
    taken = write.media_states
    monkeypatch.setattr(write, "media_states", states_then_change)

    with pytest.raises(RunError) as caught:
        written(with_images, tmp_path / "out", "")

    assert f"{tmp_path / '2.png'}: the file changed while the rows were read" in str(caught.value)


@pytest.mark.parametrize(
    ("cells", "named"),
    [
        (["a.npy", "a.npy"], ("steps",)),
        (["", "a.npy"], ("steps",)),
        (["[0.5, 1.0]", ""], ()),
        (["", "folder"], ()),
    ],
    ids=["files", "first missing", "lists", "a folder"],
)
def test_the_columns_that_name_files_are_known_once_the_rows_are_read(
    tmp_path: Path, cells: list[str], named: tuple[str, ...]
) -> None:
    """A folder, as an empty cell names that of the data, may change meanwhile."""
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "a.npy", np.zeros((2, 1), "float32"))
    lines = [f'{{"id": {n}, "size": 1, "steps": "{cells[n % 2]}"}}\n' for n in range(20)]
    (tmp_path / "rows.jsonl").write_text("".join(lines))
    source = source_of(tmp_path / "rows.jsonl", sequence=True)
    expected = fingerprint(source.data.path, source.features)
    (tmp_path / "folder" / "more").touch()

    assert written(source, tmp_path / "out", expected).media == named
