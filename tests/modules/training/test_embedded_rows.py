"""Embedded rows in batches: in memory or from disk, the same ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.embedding.columns import CONTENTS_FILE, Column, Contents
from tfx_fusion.modules.embedding.plan import EmbeddingPlan, StagePlan
from tfx_fusion.modules.errors import RunError
from tfx_fusion.modules.spec import Specification, load_specification
from tfx_fusion.modules.training import embedded
from tfx_fusion.modules.training.data import evaluation_rows, training_rows
from tfx_fusion.modules.training.embedded import EmbeddedRows
from tfx_fusion.modules.training.stage_data import EmbeddedStore, without

ROWS = 37
PLAN = EmbeddingPlan.model_validate(
    {
        "features": {"said": {"type": "text", "column": "said", "encoding": "string"}},
        "labels": {},
        "embeddings": ["ear.read"],
        "passed": ["said"],
        "precision": "float32",
    }
)
INPUTS = ("ear.read", "mask of ear.read", "half", "said")


def columns() -> dict[str, np.ndarray]:
    random = np.random.default_rng(4)
    said = np.empty(ROWS, object)
    said[:] = [f"row {number}".encode() for number in range(ROWS)]
    return {
        "row_id": said,
        "ear.read": random.normal(size=(ROWS, 3, 2)).astype("float32"),
        "mask of ear.read": random.random((ROWS, 3)) < 0.5,
        "half": random.normal(size=(ROWS, 2)).astype("float16"),
        "said": said,
        "colour": random.integers(0, 3, ROWS),
    }


@pytest.fixture
def folder(tmp_path: Path) -> str:
    """Embedded rows in three files, and their contents page."""
    values = columns()
    described = tuple(Column.of(name, value) for name, value in values.items())
    encoded = [column.encode(values[column.name]) for column in described]
    split = tmp_path / "Split-train"
    split.mkdir()
    for number, rows in enumerate(np.array_split(np.arange(ROWS), 3)):
        with tf.io.TFRecordWriter(str(split / f"data_tfrecord-{number:05d}-of-00003")) as writer:
            for row in rows:
                example = tf.train.Example()
                for column, features in zip(described, encoded, strict=True):
                    example.features.feature[column.name].CopyFrom(features[row])
                writer.write(example.SerializeToString())
    contents = Contents(plan=PLAN, columns=described, rows={"train": ROWS})
    (tmp_path / CONTENTS_FILE).write_text(contents.model_dump_json())
    return str(tmp_path)


def open_rows(folder: str) -> EmbeddedRows:
    _, rows = EmbeddedStore([StagePlan(plan=PLAN)], [folder]).open(PLAN)
    return rows["train"]


@pytest.fixture
def specification(write_specification: Callable[..., Path]) -> Specification:
    balanced = ("metrics: [accuracy]}", "metrics: [accuracy], class_weights: balanced}")
    return load_specification(write_specification(balanced))


def batches(specification: Specification, rows: EmbeddedRows, epoch: int) -> list[Any]:
    tf.random.set_seed(1)
    train = training_rows(specification, rows, INPUTS)
    assert train.steps == 3  # 37 rows by 16
    shuffled = train.batches(epoch).take(2 * train.steps).as_numpy_iterator()
    return [*shuffled, *evaluation_rows(specification, rows, INPUTS).as_numpy_iterator()]


@pytest.mark.parametrize("epoch", [0, 2])
def test_rows_that_do_not_fit_in_memory_come_in_the_same_batches(
    epoch: int, folder: str, specification: Specification, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_memory = open_rows(folder)
    monkeypatch.setattr(embedded, "MEMORY_BYTES", 0)
    from_disk = open_rows(folder)

    assert in_memory._in_memory is not None
    assert from_disk._in_memory is None
    np.testing.assert_array_equal(
        in_memory.class_indices("colour"), from_disk.class_indices("colour")
    )
    found = [batches(specification, rows, epoch) for rows in (in_memory, from_disk)]
    assert len(found[0]) == 9
    for one, other in zip(*found, strict=True):
        tf.nest.assert_same_structure(one, other)
        for value, again in zip(tf.nest.flatten(one), tf.nest.flatten(other), strict=True):
            assert value.dtype == again.dtype
            np.testing.assert_array_equal(value, again)


def test_every_epoch_has_each_row_once_and_another_order(
    folder: str, specification: Specification
) -> None:
    found = [features["said"] for features, *_ in batches(specification, open_rows(folder), 0)]
    epochs = [np.concatenate(found[at : at + 3]).tolist() for at in (0, 3, 6)]

    assert epochs[2] == columns()["said"].tolist()  # to evaluate on, in the data's order
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(epochs[2])


def test_the_border_between_memory_and_disk_is_the_size_of_the_numbers(
    folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Of a row: 6 numbers, 2 halves as they are stored, 3 flags, 2 texts' places and the class.
    size = ROWS * (6 * 4 + 2 * 4 + 3 * 8 + 2 * 8 + 8)
    for limit, in_memory in ((size, True), (size - 1, False)):
        monkeypatch.setattr(embedded, "MEMORY_BYTES", limit)
        assert (open_rows(folder)._in_memory is not None) == in_memory


@pytest.mark.parametrize("change", ["fewer", "more"])
def test_rows_that_do_not_match_the_contents_page_are_refused(change: str, folder: str) -> None:
    [*_, last] = sorted(Path(folder, "Split-train").iterdir())
    last.write_bytes({"fewer": b"", "more": last.read_bytes() * 2}[change])
    found = {"fewer": 25, "more": 49}[change]
    with pytest.raises(RunError) as caught:
        open_rows(folder)
    assert str(caught.value) == (
        f"{folder}/Split-train: expected 37 embedded rows, found {found}: delete the folder of the "
        "runs to embed again"
    )


def test_a_truncated_record_file_fails_with_its_path(folder: str) -> None:
    file = Path(folder, "Split-train", "data_tfrecord-00001-of-00003")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(RunError) as caught:
        open_rows(folder)
    message = str(caught.value)
    assert message.startswith(
        f"{folder}/Split-train: expected 37 embedded rows, found damaged ones: "
    )
    assert "truncated record" in message
    assert message.endswith(": delete the folder of the runs to embed again")


def test_embeddings_of_another_plan_are_refused(folder: str) -> None:
    other = PLAN.model_copy(update={"embeddings": ("ear.other",)})
    with pytest.raises(RunError, match="expected embeddings of another plan"):
        EmbeddedStore([StagePlan(plan=other)], [folder]).open(other)


def test_a_plan_is_opened_once_for_all_stages_that_learn_from_it(folder: str) -> None:
    stages = [StagePlan(plan=PLAN), StagePlan(plan=PLAN)]
    store = EmbeddedStore(stages, [folder])

    assert store.open(PLAN)[1] is store.open(PLAN)[1]


@pytest.mark.parametrize("in_memory", [True, False])
def test_rows_that_another_plan_cannot_embed_are_left_out(
    in_memory: bool, folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:
        monkeypatch.setattr(embedded, "MEMORY_BYTES", 0)
    rows = open_rows(folder)
    # Of 39 given, these rows lack 2 and 5 already; 3, 5 and 10 are not to be learned from.
    fewer = without(rows, {3, 5, 10}, {2, 5})
    wanted = np.delete(np.arange(ROWS), [2, 8])

    found = [
        {name: value.numpy() for name, value in fewer.tensors(numbers).items()}
        for numbers in tf.data.Dataset.range(fewer.count()).batch(8)
    ]

    assert fewer.count() == ROWS - 2
    said = np.concatenate([batch["said"] for batch in found])
    assert said.tolist() == columns()["said"][wanted].tolist()
    np.testing.assert_array_equal(
        fewer.class_indices("colour"), rows.class_indices("colour")[wanted]
    )
    assert without(rows, {2, 5}, {2, 5}) is rows
