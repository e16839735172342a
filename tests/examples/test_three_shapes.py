"""The three core shapes, each against the same model composed by hand in plain Keras, and run."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fusion_command import fusion
from made_examples import made, ran

pytestmark = pytest.mark.end_to_end
SHAPES = ("feature_extractor", "stacked_sequence", "image_text")


def fuse(folder: Path) -> Any:
    """The fused model of an example as its first stage trains it."""
    from tfx_fusion.modules.graph.build import build
    from tfx_fusion.modules.graph.unfreeze import chosen_layers
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.modules.submodels.inspection import inspect_submodel
    from tfx_fusion.modules.submodels.layer import SubmodelLayer

    specification = load_specification(folder / "fusion.yaml")
    paths = {name: path for name, (_, path) in specification.imported().items()}
    interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
    fused = build(
        specification,
        interfaces,
        lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
    )
    for name, unfreeze in specification.training.stages[0].unfreeze.items():
        chosen = chosen_layers(name, interfaces[name], fused.taps[name], unfreeze)
        fused.submodels[name].unfreeze(chosen)
    return fused


def chain_by_hand(models: Path, fused: Any) -> Any:
    import keras

    cnn = keras.saving.load_model(models / "cnn.keras")
    cnn.trainable = False
    classifier = keras.saving.load_model(models / "classifier.keras")
    image = keras.Input((64, 64, 3), name="image")
    return keras.Model(image, classifier(cnn(image)))


def stack_by_hand(models: Path, fused: Any) -> Any:
    import keras

    encoder = keras.saving.load_model(models / "encoder.keras")
    encoder.trainable = False
    steps = keras.Input((20, 128), name="steps")
    lstm, dense = keras.layers.LSTM(32), keras.layers.Dense(1)
    model = keras.Model(steps, dense(lstm(encoder(keras.layers.Masking(0.0)(steps)))))
    lstm.set_weights(fused.layers["counted"][0].get_weights())
    dense.set_weights(fused.layers["turns"][0].get_weights())
    return model


def branches_by_hand(models: Path, fused: Any) -> Any:
    import keras
    import tensorflow as tf

    whole = keras.saving.load_model(models / "vision.keras")
    vision = keras.Model(whole.input, whole.get_layer("features").output)
    vision.trainable = False
    loaded = tf.saved_model.load(str(models / "text"))  # must live as long as it is called

    class Text(keras.layers.Layer):
        def call(self, tokens: Any) -> Any:
            return loaded.signatures["serving_default"](tokens=tokens)["features"]

        def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
            return (shape[0], 32)

    image, words = keras.Input((32, 32, 3), name="image"), keras.Input((100,), name="words")
    hidden, scores = keras.layers.Dense(64, activation="relu"), keras.layers.Dense(10)
    joined = keras.layers.Concatenate()([vision(image), Text()(words)])
    model = keras.Model(
        {"image": image, "words": words}, keras.layers.Softmax()(scores(hidden(joined)))
    )
    hidden.set_weights(fused.layers["hidden"][0].get_weights())
    scores.set_weights(fused.layers["scores"][0].get_weights())
    return model


RANDOM = np.random.default_rng(4)


LENGTHS = np.array([20, 8, 13, 20, 1, 19])


def padded_steps() -> np.ndarray:
    steps = RANDOM.normal(size=(6, 20, 128)).astype("float32")
    for row, length in enumerate(LENGTHS):
        steps[row, length:] = 0
    return steps


CASES: dict[str, tuple[Callable[[Path, Any], Any], dict[str, np.ndarray], str, np.ndarray]] = {
    "feature_extractor": (
        chain_by_hand,
        {"image": RANDOM.random((6, 64, 64, 3)).astype("float32")},
        "sparse_categorical_crossentropy",
        RANDOM.integers(0, 10, 6),
    ),
    "stacked_sequence": (
        stack_by_hand,
        {"steps": padded_steps(), "steps_length": LENGTHS},
        "mean_squared_error",
        RANDOM.normal(size=(6, 1)).astype("float32"),
    ),
    "image_text": (
        branches_by_hand,
        {
            "image": RANDOM.random((6, 32, 32, 3)).astype("float32"),
            "words": RANDOM.integers(0, 2, (6, 100)).astype("float32"),
        },
        "sparse_categorical_crossentropy",
        RANDOM.integers(0, 10, 6),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_the_model_composed_by_hand(name: str) -> None:
    import keras
    import tensorflow as tf

    folder = made(name)
    by_hand, inputs, loss, labels = CASES[name]
    fused = fuse(folder)
    hand = by_hand(folder / "models", fused)
    # By hand, a chain and a stack have one input; the length is in the padding.
    given = inputs if name == "image_text" else next(iter(inputs.values()))
    measure = keras.losses.get(loss)

    # As training calls both; by hand the frozen part must be called without dropout.
    with tf.GradientTape() as tape:
        [ours] = fused.model(inputs, training=True).values()
        our_loss = keras.ops.mean(measure(labels, ours))
    our_gradients = tape.gradient(our_loss, [v.value for v in fused.model.trainable_variables])
    with tf.GradientTape() as tape:
        theirs = hand(given, training=False)
        their_loss = keras.ops.mean(measure(labels, theirs))
    their_gradients = tape.gradient(their_loss, [v.value for v in hand.trainable_variables])

    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6)
    assert [v.shape for v in fused.model.trainable_variables] == [
        v.shape for v in hand.trainable_variables
    ]
    if name != "image_text":  # a signature's variables are no weights of the layer made by hand
        assert fused.model.count_params() == hand.count_params()
    for one, other in zip(our_gradients, their_gradients, strict=True):
        # A gradient near zero is a sum that cancels: within float32's spacing of the largest one.
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6 * max(1.0, np.abs(other).max()))


@pytest.mark.parametrize("name", ["feature_extractor", "stacked_sequence"])
def test_a_shape_runs_to_a_published_model(name: str, tmp_path: Path) -> None:
    folder = tmp_path / name
    shutil.copytree(made(name), folder, ignore=shutil.ignore_patterns("runs", "serving"))
    done = fusion("run", "fusion.yaml", folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    [record] = folder.glob("runs/*/run.json")
    assert Path(json.loads(record.read_text())["published"], "saved_model.pb").is_file()


def test_the_demo_shows_that_the_fusion_beats_its_better_branch_by_5_points(
    shared_folder: Path,
) -> None:
    folder = ran("image_text", shared_folder)
    shown = subprocess.run(
        [sys.executable, str(folder / "show.py")], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    gain = re.search(r"fused, over the better branch alone: \+([\d.]+) points", shown.stdout)
    assert gain, shown.stdout
    assert float(gain[1]) >= 5
    assert len(re.findall(r"picture /.*\.png", shown.stdout)) == 3
