"""The rows that a specification describes: are all named columns there?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.errors import RunError, SpecificationError
from tfx_fusion.modules.spec import load_specification

Write = Callable[..., Path]
HEADER = "id,image_path,transcript,colour\n"


@pytest.fixture
def source(write_specification: Write) -> Callable[..., RowSource]:
    """The rows of the shared specification with pieces of its text replaced: `(old, new), …`."""
    return lambda *changes: RowSource.of(load_specification(write_specification(*changes)))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data" / "rows.csv"


def problems_of(source: RowSource) -> list[str]:
    with pytest.raises(SpecificationError) as caught:
        source.check_columns()
    return caught.value.problems


def test_a_source_is_what_the_specification_says_of_rows(source: Callable[..., RowSource]) -> None:
    given = source()

    assert list(given.features) == ["image", "words"]
    assert list(given.labels) == ["colour"]
    assert RowSource.model_validate_json(given.model_dump_json()) == given


def test_a_limit_of_the_data_makes_no_other_rows(source: Callable[..., RowSource]) -> None:
    split = "eval: 0.3}\n"

    assert source((split, f"{split}  checks: {{max_leakage: 0.1}}\n")) == source()


def test_columns_in_any_order_with_others_between_are_fine(
    source: Callable[..., RowSource], data: Path
) -> None:
    data.write_text("colour,more,transcript,id,image_path\n")

    source().check_columns()


def test_every_missing_column_is_refused_with_the_key_that_names_it(
    source: Callable[..., RowSource], data: Path
) -> None:
    data.write_text("image,words\n")

    assert problems_of(source()) == [
        f"features.image: {data} has no column 'image_path'; did you mean 'image'?",
        f"features.words: {data} has no column 'transcript'; known: image, words",
        f"labels.colour: {data} has no column 'colour'; known: image, words",
        f"data.split: {data} has no column 'id'; known: image, words",
    ]


def test_each_column_of_a_vector_is_looked_for(
    source: Callable[..., RowSource], data: Path
) -> None:
    data.write_text(HEADER.replace("\n", ",width\n"))
    given = source(("labels:\n", "  size: {type: number, columns: [width, height]}\nlabels:\n"))

    (problem,) = problems_of(given)

    assert problem.startswith(f"features.size: {data} has no column 'height'; ")


def test_the_column_of_a_split_is_looked_for(source: Callable[..., RowSource], data: Path) -> None:
    data.write_text(HEADER.replace("\n", ",parts\n"))
    given = source(("{by: id, train: 0.7, eval: 0.3}", "{column: part}"))

    assert problems_of(given) == [f"data.split: {data} has no column 'part'; did you mean 'parts'?"]


def test_the_columns_of_parquet_are_looked_for(
    source: Callable[..., RowSource], data: Path
) -> None:
    path = data.with_suffix(".parquet")
    pq.write_table(pa.table({"id": [1], "image_path": ["a"], "transcript": ["b"]}), path)

    (problem,) = problems_of(source(("rows.csv", "rows.parquet")))

    assert problem.startswith(f"labels.colour: {path} has no column 'colour'; ")


def test_rows_that_name_their_own_columns_are_left_to_the_run(
    source: Callable[..., RowSource], data: Path
) -> None:
    data.with_suffix(".jsonl").write_text('{"other": 1}\n')

    source(("rows.csv", "rows.jsonl")).check_columns()


def test_a_missing_data_file_is_refused(source: Callable[..., RowSource], tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        source().check_columns()

    assert str(caught.value) == f"{tmp_path / 'data' / 'rows.csv'}: no such data file"
