"""What a branch of a variable sequence that rows may lack contributes, with weighted classes."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import train

from tfx_fusion.modules.evaluation.measure_ablation import measure_ablation
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.inspection import inspect_submodel

pytestmark = pytest.mark.component

SPECIFICATION = """
name: steps
data: {path: rows.csv, split: {column: split}}
features:
  steps: {type: sequence, column: steps, shape: [6, 2], variable: true, missing: allowed}
  size: {type: number, columns: [size]}
labels:
  high: {type: category, column: high, classes: ["no", "yes"]}
submodels:
  ear: {path: ear.keras, inputs: {steps: steps}}
  ears: {path: ears.keras, inputs: {steps: steps}}
graph:
  heard: {layers: [Dense: {units: 3}, GlobalAveragePooling1D: {}], inputs: ears}
  joined: {merge: concatenate, inputs: [ear, heard, size]}
  score: {layers: [Dense: {units: 1}], inputs: joined}
outputs:
  high: {from: score, loss: binary_crossentropy, metrics: [log_loss], class_weights: {"no": 3}}
training:
  batch_size: 8
  stages: [{name: head, epochs: 2, learning_rate: 0.05}]
evaluation: {worth: {}}
publish: {path: serving}
"""


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """An LSTM that gives its last state and one that gives all, on 40 sequences of 0 to 6 steps."""
    keras.utils.set_random_seed(3)
    for name, all_steps in (("ear", False), ("ears", True)):
        entry = keras.Input((None, 2), name="steps")
        read = keras.layers.LSTM(4, return_sequences=all_steps)(entry)
        keras.Model(entry, read).save(tmp_path / f"{name}.keras")
    draw = np.random.default_rng(4)
    with (tmp_path / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "split", "steps", "size", "high"])
        for number in range(40):
            steps = draw.normal(size=(number % 7, 2)).tolist()
            split = "train" if number < 25 else "eval"
            cell = json.dumps(steps) if steps else ""
            writer.writerow([number, split, cell, draw.normal(), draw.choice(["no", "yes"])])
    (tmp_path / "fusion.yaml").write_text(SPECIFICATION)
    return tmp_path


def test_each_branch_is_measured_and_left_out_as_if_it_were_missing(
    world: Path, tmp_path: Path, prepare_training: Callable[..., Any], embed: Callable[..., Any]
) -> None:
    specification = load_specification(world / "fusion.yaml")
    inputs = prepare_training(specification)
    folder = tmp_path / "run"
    _, stages = train(specification, inputs, folder, embed)
    [file] = inputs.splits["eval"].iterdir()
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    loaded = tf.saved_model.load(str(folder / "model"))
    labels = loaded.signatures["transform_labels"](examples=tf.constant(records))["high"].numpy()

    def log_loss(rows: list[bytes]) -> float:
        chances = loaded.signatures["predict_examples"](examples=tf.constant(rows))["high"]
        right = np.where(labels == 1, chances.numpy()[:, 0], 1 - chances.numpy()[:, 0])
        return float(-np.log(right).mean())

    found = measure_ablation(
        specification,
        {name: inspect_submodel(world / f"{name}.keras").interface for name in ("ear", "ears")},
        {name: folder / "submodels" / name for name in ("ear", "ears")},
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=stages,
        embeddings=[str(folder / "embeddings_0")],
        model=folder / "model",
    )

    measured = {item.branch: item for item in found.comparisons}
    assert set(measured) == {"ear", "heard", "size"}
    for item in measured.values():
        assert item.fused == pytest.approx(log_loss(records), abs=1e-5)
        assert np.isfinite([item.single, item.without]).all()
    assert len({item.single for item in measured.values()}) == 3
    assert len({item.without for item in measured.values()}) == 3
