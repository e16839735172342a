"""The training record as event files: read back, they hold the same numbers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tfx_fusion.modules.training.tensorboard_logs import write_logs

STAGES: list[dict[str, Any]] = [
    {
        "name": "head",
        "seconds": 20.0,
        "unfrozen": {},
        "epochs": [
            {"loss": 2.0, "accuracy": 0.25, "val_loss": 2.5, "val_accuracy": 0.125},
            {"loss": 1.5, "accuracy": 0.5, "val_loss": 1.75, "val_accuracy": 0.375},
        ],
    },
    {
        "name": "finetune",
        "seconds": 6.0,
        "unfrozen": {"vision": ["features"]},
        "epochs": [{"loss": 1.1, "accuracy": 0.7, "val_loss": 1.2, "val_accuracy": 0.6}],
    },
]


def events(folder: Path) -> list[Any]:
    [file] = folder.iterdir()
    # TensorBoard looks for this in the names of files.
    assert "tfevents" in file.name
    return list(tf.compat.v1.train.summary_iterator(str(file)))


def values(folder: Path) -> dict[tuple[str, int], float]:
    return {
        (value.tag, event.step): value.simple_value
        for event in events(folder)
        for value in event.summary.value
    }


def test_the_event_files_hold_the_numbers_of_the_record(tmp_path: Path) -> None:
    write_logs(STAGES, tmp_path)

    # Event files hold numbers of 32 bits.
    assert values(tmp_path / "train") == pytest.approx(
        {
            ("loss", 1): 2.0, ("loss", 2): 1.5, ("loss", 3): 1.1,
            ("accuracy", 1): 0.25, ("accuracy", 2): 0.5, ("accuracy", 3): 0.7,
        }, rel=1e-7,
    )  # fmt: skip
    assert values(tmp_path / "eval") == pytest.approx(
        {
            ("loss", 1): 2.5, ("loss", 2): 1.75, ("loss", 3): 1.2,
            ("accuracy", 1): 0.125, ("accuracy", 2): 0.375, ("accuracy", 3): 0.6,
        }, rel=1e-7,
    )  # fmt: skip


def test_a_file_begins_with_the_version_of_its_format(tmp_path: Path) -> None:
    write_logs(STAGES, tmp_path)

    assert events(tmp_path / "train")[0].file_version == "brain.Event:2"


def test_epochs_are_as_far_apart_as_they_took(tmp_path: Path) -> None:
    write_logs(STAGES, tmp_path)

    times = [event.wall_time for event in events(tmp_path / "train")][1:]
    assert [later - times[0] for later in times] == pytest.approx([0, 10, 16], abs=1e-3)
    assert times[-1] == pytest.approx(time.time(), abs=60)


def test_writing_again_replaces_the_two_runs_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    write_logs(STAGES, tmp_path)

    write_logs(STAGES[:1], tmp_path)

    assert len(values(tmp_path / "train")) == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["eval", "mine", "train"]


def test_a_record_without_epochs_gives_empty_runs(tmp_path: Path) -> None:
    write_logs([], tmp_path)

    assert values(tmp_path / "train") == values(tmp_path / "eval") == {}


def test_a_value_that_is_no_number_is_kept(tmp_path: Path) -> None:
    write_logs([{**STAGES[0], "epochs": [{"loss": float("nan")}]}], tmp_path)

    [value] = values(tmp_path / "train").values()
    assert value != value
