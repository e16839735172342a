"""A missing modality is treated alike in training, in evaluation and in the served model."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from parity import check_parity, train

from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.modules.spec import Specification, load_specification

pytestmark = pytest.mark.component


def make_specification(world: Path, missing: str) -> Specification:
    """The small world, where a third of the rows lack their picture and some their words."""
    data = world / "data" / "rows.csv"
    with data.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    for number, row in enumerate(rows):
        if number % 3 == 0:
            row["image_path"] = ""
        elif number % 5 == 0:
            row["transcript"] = ""
    with data.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    file = world / "fusion.yaml"
    text = file.read_text()
    text = text.replace("shape: [8, 8, 3]}", f"shape: [8, 8, 3], missing: {missing}}}")
    text = text.replace("encoding: multi_hot}", f"encoding: multi_hot, missing: {missing}}}")
    file.write_text(text)
    return load_specification(file)


def by_hand(
    specification: Specification, model: Path, images: list[bytes], words: np.ndarray
) -> np.ndarray:
    """The probabilities of rows by NumPy: plain Keras's embeddings, the trained head's numbers."""
    paths = {name: path for name, (_, path) in specification.imported().items()}
    whole = keras.saving.load_model(paths["vision"])
    pixels = np.stack(
        [tf.io.decode_image(image).numpy() if image else np.zeros((8, 8, 3)) for image in images]
    )
    cut = keras.Model(whole.input, whole.get_layer("features").output)
    vision = np.array(cut(pixels.astype("float32") / 255))
    text = tf.saved_model.load(str(paths["text"])).signatures["serving_default"]
    tokens = np.array(text(tokens=tf.constant(words))["features"])
    with np.load(model / "assets.extra" / "trained.npz") as trained:
        values = dict(trained)
    for name, embedded, absent in (
        ("vision", vision, np.array([not image for image in images])),
        ("text", tokens, ~words.any(axis=1)),
    ):
        embedded[absent] = values.get(f"missing/{name}/vector", 0)
    hidden = np.concatenate([vision, tokens], axis=1) @ values["graph/hidden/0/kernel"]
    hidden = np.maximum(hidden + values["graph/hidden/0/bias"], 0)
    scores = hidden @ values["graph/scores/0/kernel"] + values["graph/scores/0/bias"]
    return np.array(tf.nn.softmax(scores))


@pytest.mark.parametrize("replace", ["learned", "zeros", "mean"])
def test_what_lacks_a_modality_is_predicted_alike_everywhere(
    replace: str,
    world: Path,
    prepare_training: Callable[..., Any],
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = make_specification(world, f"{{replace: {replace}, drop: 0.25}}")
    inputs = prepare_training(specification)
    # On embeddings and on raw data: the same losses and weights, drawn rows included.
    history, stages = check_parity(specification, inputs, tmp_path, embed)
    assert stages[0].plan.passed == ("image.missing", "words.missing")

    model = tmp_path / "embedded" / "model"
    loaded = tf.saved_model.load(str(model))
    [file] = inputs.splits["eval"].iterdir()
    examples = tf.stack(list(tf.data.TFRecordDataset(str(file))))
    evaluated = loaded.signatures["predict_examples"](examples=examples)["colour"].numpy()

    rows = [tf.train.Example.FromString(example.numpy()).features.feature for example in examples]
    images = [row["image"].bytes_list.value[0] for row in rows]
    texts = [row["words"].bytes_list.value[0] for row in rows]
    assert images.count(b"") == 10
    assert texts.count(b"") == 4
    assert [row["image.missing"].int64_list.value[0] for row in rows] == [
        int(not image) for image in images
    ]
    served = loaded.signatures["serving_default"](
        image=tf.constant(images), words=tf.constant(texts)
    )["colour_probabilities"].numpy()
    known = specification.features["words"].vocabulary.read_text().split()
    words = np.array(
        [[word in text.decode().lower().replace(",", "").replace("!", "").split() for word in known]
         for text in texts], "float32",
    )  # fmt: skip
    expected = by_hand(specification, model, images, words)

    np.testing.assert_allclose(evaluated, expected, atol=1e-6)
    np.testing.assert_allclose(served, expected, atol=1e-6)
    # The last epoch's loss on the evaluation split is that of these very predictions.
    classes = [specification.labels["colour"].classes.index(
        row["colour"].bytes_list.value[0].decode()) for row in rows]  # fmt: skip
    loss = -np.log(expected[np.arange(len(rows)), classes]).mean()
    assert history.stages[-1].epochs[-1]["val_loss"] == pytest.approx(loss, abs=1e-5)


def test_a_mean_is_that_of_the_rows_that_have_the_modality(
    world: Path,
    prepare_training: Callable[..., Any],
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = make_specification(world, "{replace: mean}")
    inputs = prepare_training(specification)
    train(specification, inputs, tmp_path, embed)
    [file] = inputs.splits["train"].iterdir()
    images = [
        image
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        if (
            image := tf.train.Example.FromString(record)
            .features.feature["image"]
            .bytes_list.value[0]
        )
    ]
    whole = keras.saving.load_model(world / "models" / "vision.keras")
    cut = keras.Model(whole.input, whole.get_layer("features").output)
    pixels = np.stack([tf.io.decode_image(image).numpy() for image in images])
    expected = np.array(cut(pixels.astype("float32") / 255)).mean(axis=0)
    with np.load(tmp_path / "model" / "assets.extra" / "trained.npz") as trained:
        np.testing.assert_allclose(trained["missing/vision/vector"], expected, atol=1e-6)


def test_predict_takes_rows_that_lack_a_modality(
    world: Path,
    prepare_training: Callable[..., Any],
    tmp_path: Path,
    embed: Callable[..., Any],
) -> None:
    specification = make_specification(world, "allowed")
    train(specification, prepare_training(specification), tmp_path, embed)
    model = PublishedModel(tmp_path / "model")
    rows = [
        ("row 1", {"image_path": "", "transcript": "very red"}),
        ("row 2", {"image_path": "images/1.png", "transcript": ""}),
        ("row 3", {"image_path": "images/none.png", "transcript": "very red"}),
    ]
    answers = list(model.predict(rows, world / "data"))
    assert [answer.error is None for answer in answers] == [True, True, False]
    assert "no such file" in str(answers[2].error)
    assert sum(answers[0].outputs["colour"].values()) == pytest.approx(1)
