"""Columns of embedded rows come back bit for bit, and a contents page lists what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.embedding.columns import (
    CONTENTS_FILE,
    Column,
    Contents,
    parse,
    read_contents,
)
from tfx_fusion.modules.embedding.plan import EmbeddingPlan
from tfx_fusion.modules.errors import RunError

DTYPES = {
    **{name: np.dtype(name) for name in (
        "float16", "float32", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64",
        "uint64",
    )},
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
}  # fmt: skip


def stored_and_read(values: np.ndarray) -> np.ndarray:
    column = Column.of("x", values)
    rows = []
    for feature in column.encode(values):
        example = tf.train.Example()
        example.features.feature["x"].CopyFrom(feature)
        rows.append(example.SerializeToString())
    return parse({"x": column}, tf.constant(rows))["x"].numpy()


def check_same(values: np.ndarray) -> None:
    found = stored_and_read(values)
    assert (found.dtype, found.shape) == (values.dtype, values.shape)
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("name", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,), (3, 2)], ids=str)
def test_random_bits_of_every_dtype_come_back(name: str, shape: tuple[int, ...]) -> None:
    dtype = DTYPES[name]
    size = 40 * int(np.prod(shape))
    bits = np.random.default_rng(1).integers(0, 256, size * dtype.itemsize, "uint8")
    values = bits.view(dtype).reshape(40, *shape)
    if "float" in name:
        values = np.where(np.isfinite(values.astype("float64")), values, dtype.type(0.5))
    check_same(values)


@pytest.mark.parametrize(
    "values",
    [
        np.array([[True, False, True], [False, False, True]]),
        np.array([[0.0, -0.0, 1e-45, np.finfo("float32").max, np.nan, -np.inf]], "float32"),
        np.array([2**64 - 1, 0, 2**63], "uint64"),
        np.array([-(2**63), 2**63 - 1], "int64"),
        np.ones((2, 0), "float32"),
    ],
    ids=["flags", "edges of float32", "edges of uint64", "edges of int64", "no values"],
)
def test_edges_come_back(values: np.ndarray) -> None:
    check_same(values)


@pytest.mark.parametrize("length", [31, 32, 4_095, 4_096, 524_288])
def test_floats_of_any_number_come_back(length: int) -> None:
    # The lengths around which protobuf's varint takes one byte more.
    check_same(np.random.default_rng(0).random((2, length), "float32"))


@pytest.mark.parametrize("shape", [(3,), (3, 2)])
def test_text_of_any_bytes_comes_back(shape: tuple[int, ...]) -> None:
    values = np.empty(shape, object)
    values[...] = b"\xff\x00 \xc3\xa9"
    values.flat[0] = b""
    found = stored_and_read(values)
    assert found.tolist() == values.tolist()


def test_float64_is_narrowed_as_the_head_would_do() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))
    found = stored_and_read(values)
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, values.astype("float32").astype("float64"))


def contents(**changes: Any) -> Contents:
    plan = EmbeddingPlan(
        features={}, labels={}, embeddings=("a.b",), passed=(), precision="float32"
    )
    columns = (
        Column(name="a.b", shape=(3, 2), dtype="float32"),
        Column(name="a.b.mask", shape=(3,), dtype="bool"),
        Column(name="colour", shape=(), dtype="int64"),
    )
    return Contents(plan=plan, columns=columns, rows={"train": 2, "eval": 1}, **changes)


def test_the_size_of_a_row_in_memory_is_known() -> None:
    assert contents().bytes_per_row == 6 * 4 + 3 * 8 + 8


def test_a_contents_page_is_read_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / CONTENTS_FILE).write_text(contents().model_dump_json(indent=1))
    assert read_contents(str(tmp_path)) == contents()


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: None,
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"columns"', '"colums"'),
        lambda text: text.encode().replace(b"a.b", b"\xff\xfe"),
    ],
    ids=["missing", "empty", "cut short", "another layout", "no text"],
)
def test_a_damaged_contents_page_fails_with_its_path_in_one_line(
    damage: Any, tmp_path: Path
) -> None:
    damaged = damage(contents().model_dump_json())
    if damaged is not None:
        file = tmp_path / CONTENTS_FILE
        file.write_bytes(damaged if isinstance(damaged, bytes) else damaged.encode())
    with pytest.raises(RunError) as caught:
        read_contents(str(tmp_path))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/{CONTENTS_FILE}: expected the contents of embedded rows")
    assert message.endswith("delete the folder of the runs to embed again")
    assert "\n" not in message
