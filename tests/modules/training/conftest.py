"""The shared world trained, and its rows as clients and the evaluation have them."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from training_runs import Assembled, ClientRows, Trained, one_stage, run, with_training

from tfx_fusion.modules.spec import Specification, load_specification

CLASSES = ["red", "green", "blue"]


@pytest.fixture(scope="session")
def specification(shared_world: Path) -> Specification:
    return load_specification(shared_world / "fusion.yaml")


@pytest.fixture(scope="session")
def trained(
    shared_world: Path,
    shared_training_inputs: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    """The shared world trained and exported; made once, read only."""
    specification = load_specification(shared_world / "fusion.yaml")
    return run(specification, shared_training_inputs, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="session")
def raw(shared_world: Path) -> ClientRows:
    """The rows of the split `eval`: the last third."""
    with (shared_world / "data" / "rows.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))[60:]
    return ClientRows(
        images=[(shared_world / "data" / row["image_path"]).read_bytes() for row in rows],
        words=[row["transcript"].encode() for row in rows],
        classes=[CLASSES.index(row["colour"]) for row in rows],
    )


@pytest.fixture(scope="session")
def examples(shared_training_inputs: Any) -> tf.Tensor:
    """The split `eval` as serialized tf.Examples."""
    [file] = shared_training_inputs.splits["eval"].iterdir()
    return tf.constant([record.numpy() for record in tf.data.TFRecordDataset(str(file))])


@pytest.fixture
def assembled(specification: Specification, shared_training_inputs: Any) -> Assembled:
    return Assembled(with_training(specification, stages=one_stage()), shared_training_inputs)
