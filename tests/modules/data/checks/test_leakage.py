"""Eval rows whose media a row to train on holds too: found byte for byte, and by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.data.checks.leakage import leakage, media_features
from tfx_fusion.modules.data.source import RowSource
from tfx_fusion.modules.spec import missing_name

SEQUENCE = {"type": "sequence", "column": "steps", "shape": [2, 1]}


def example(row: str, **features: bytes | list[float]) -> tf.train.Example:
    """A tf.Example with its id; empty bytes, or NaN, are a feature that the row lacks."""
    made = tf.train.Example()
    made.features.feature["row_id"].bytes_list.value.append(row.encode())
    for name, value in features.items():
        if isinstance(value, bytes):
            made.features.feature[name].bytes_list.value.append(value)
        else:
            made.features.feature[name].float_list.value.extend(value)
        lacks = value == b"" or (isinstance(value, list) and bool(np.isnan(value).all()))
        made.features.feature[missing_name(name)].int64_list.value.append(lacks)
    return made


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Mapping[str, str]]:
    """Writes the rows of each split to one file for each list of them; returns their folders."""

    def run(**splits: list[list[tf.train.Example]]) -> Mapping[str, str]:
        for split, files in splits.items():
            (tmp_path / split).mkdir()
            for number, examples in enumerate(files):
                file = tmp_path / split / f"data_tfrecord-{number:05d}-of-{len(files):05d}"
                with tf.io.TFRecordWriter(str(file)) as writer:
                    for item in examples:
                        writer.write(item.SerializeToString())
        return {split: str(tmp_path / split) for split in splits}

    return run


def test_splits_without_a_common_picture_leak_nothing(write: Callable[..., Any]) -> None:
    splits = write(
        train=[[example("row 1", image=b"a"), example("row 2", image=b"a")]],
        eval=[[example("row 3", image=b"b"), example("row 4", image=b"b")]],
    )

    found = leakage({"image": "image"}, splits)

    assert (found.rows, found.leaked, found.share) == (2, [], 0.0)


def test_each_eval_row_whose_picture_is_trained_on_is_named_with_that_row(
    write: Callable[..., Any],
) -> None:
    splits = write(
        train=[[example("row 9", image=b"c")], [example("row 8", image=b"a")]],
        eval=[
            [example("row 1", image=b"a"), example("row 2", image=b"b")],
            [example("row 3", image=b"c"), example("row 4", image=b"a")],
        ],
    )

    found = leakage({"image": "image"}, splits)

    assert found.rows == 4
    assert found.share == 0.75
    assert found.leaked == [
        ("row 1", "image", "row 8"),
        ("row 3", "image", "row 9"),
        ("row 4", "image", "row 8"),
    ]


def test_a_row_counts_once_and_features_are_not_compared_with_each_other(
    write: Callable[..., Any],
) -> None:
    splits = write(
        train=[[example("row 1", front=b"a", side=b"b"), example("row 2", front=b"a", side=b"c")]],
        eval=[[example("row 3", front=b"a", side=b"b"), example("row 4", front=b"b", side=b"a")]],
    )

    found = leakage({"front": "front", "side": "side"}, splits)

    assert found.leaked == [("row 3", "front", "row 1")]


def test_what_is_missing_in_both_splits_does_not_leak(write: Callable[..., Any]) -> None:
    nothing = [float("nan")] * 2
    splits = write(
        train=[[example("row 1", image=b"", steps=nothing)]],
        eval=[[example("row 2", image=b"", steps=nothing)]],
    )

    assert leakage({"image": "image", "steps": "steps"}, splits).leaked == []


def test_sequences_are_compared_by_their_numbers(write: Callable[..., Any]) -> None:
    splits = write(
        train=[[example("row 1", steps=[0.5, 1.0]), example("row 2", steps=[0.5, 2.0])]],
        eval=[[example("row 3", steps=[0.5, 2.0]), example("row 4", steps=[2.0, 0.5])]],
    )

    assert leakage({"steps": "steps"}, splits).leaked == [("row 3", "steps", "row 2")]


@pytest.mark.parametrize(
    ("columns", "media"),
    [
        (["pictures", "numbers"], {"image": "pictures", "steps": "numbers"}),
        (["pictures"], {"image": "pictures"}),
        ([], {"image": "pictures"}),
    ],
)
def test_media_are_pictures_and_sequences_that_files_hold(
    columns: list[str], media: dict[str, str]
) -> None:
    source = RowSource.model_validate(
        {
            "data": {"path": "rows.jsonl", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
            "features": {
                "image": {"type": "image", "column": "pictures", "shape": [4, 4, 3]},
                "words": {"type": "text", "column": "words", "encoding": "string"},
                "size": {"type": "number", "column": "size"},
                "steps": {**SEQUENCE, "column": "numbers"},
            },
            "labels": {},
        }
    )

    assert media_features(source.features, columns) == media
