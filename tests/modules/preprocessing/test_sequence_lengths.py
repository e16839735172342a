"""The length of a variable sequence in the Transform graph, as a served model gets it."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Specification, load_specification

pytestmark = pytest.mark.component
SPECIFICATION = """\
name: sounds
data: {path: rows.csv, split: {column: split}}
features:
  sound: {type: sequence, column: s, shape: [3, 2], variable: true, padding: -1.0}
  noise: {type: sequence, column: n, shape: [3, 2], variable: true, missing: allowed}
labels: {y: {type: number, column: y}}
graph:
  heard: {layers: [SimpleRNN: {units: 1}], inputs: sound}
  noisy: {layers: [SimpleRNN: {units: 1}], inputs: noise}
  joined: {merge: concatenate, inputs: [heard, noisy]}
  y: {layers: [Dense: {units: 1}], inputs: joined}
outputs: {y: {from: y, loss: huber}}
training: {stages: [{name: head, epochs: 1, learning_rate: 0.1}]}
publish: {path: serving}
"""
NAN = np.full((3, 2), np.nan, np.float32)


@pytest.fixture(scope="module")
def graph(
    tmp_path_factory: pytest.TempPathFactory, prepare_training: Callable[[Specification], Any]
) -> TransformGraph:
    folder = tmp_path_factory.mktemp("sounds")
    with Path(folder, "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["s", "n", "y", "split"])
        for row in range(6):
            steps = str([[1.0, 2.0]] * (1 + row % 3))
            writer.writerow([steps, "[[1, 2]]" if row % 2 else "", row, "train"])
    Path(folder, "fusion.yaml").write_text(SPECIFICATION)
    specification = load_specification(folder / "fusion.yaml")
    inputs = prepare_training(specification)
    path = str(inputs.transform_graph / "transform_fn")
    return TransformGraph(path, specification.features, specification.labels)


def asked(graph: TransformGraph, **given: Any) -> dict[str, np.ndarray]:
    """What the graph makes of a request, traced as in a served model."""
    tensors = {name: tf.constant(values) for name, values in given.items()}
    return {name: tensor.numpy() for name, tensor in tf.function(graph)(tensors).items()}


def test_a_request_gives_the_padded_values_and_their_length(graph: TransformGraph) -> None:
    specs = graph.input_specs(["sound", "sound_length"])

    assert specs["sound"].shape == (None, 3, 2)
    assert (specs["sound_length"].shape, specs["sound_length"].dtype) == ((None,), tf.int64)


def test_what_stands_behind_the_last_step_is_padding(graph: TransformGraph) -> None:
    sound = np.array([[[0, 0], [9, 9], [9, np.nan]], [[-1, -1], [-1, -1], [8, 8]]], np.float32)

    found = asked(graph, sound=sound, sound_length=np.array([1, 2]))

    assert found["sound_length"].tolist() == [1, 2]
    assert found["sound"].tolist() == [[[0, 0], [-1, -1], [-1, -1]], [[-1, -1]] * 3]


def test_a_missing_sequence_has_no_steps_whatever_its_length(graph: TransformGraph) -> None:
    noise = np.stack([NAN, NAN, np.zeros((3, 2), np.float32)])

    found = asked(graph, noise=noise, noise_length=np.array([0, 2, 3]))

    assert found["noise.missing"].tolist() == [1, 1, 0]
    assert found["noise_length"].tolist() == [0, 0, 3]
    assert not found["noise"].any()


@pytest.mark.parametrize(
    ("name", "length", "least"), [("sound", 0, 1), ("sound", 4, 1), ("noise", -1, 0)]
)
def test_a_length_that_a_sequence_cannot_have_is_refused(
    graph: TransformGraph, name: str, length: int, least: int
) -> None:
    given = {name: np.zeros((2, 3, 2), np.float32), f"{name}_length": np.array([1, length])}

    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        asked(graph, **given)
    assert f"{name}_length: expected {least} to 3 steps, found " in caught.value.message
    assert f"[{length}]" in caught.value.message
