"""Rows as a person sees them: pictures small, texts and numbers in a few words."""

from __future__ import annotations

import base64
from pathlib import Path

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.report.answers import Answers
from tfx_fusion.modules.report.worst import MOST_EXAMPLES, shown_values, thumbnail, worst_examples
from tfx_fusion.modules.spec import ImageFeature

FEATURE = ImageFeature(type="image", column="photo", shape=(8, 8, 3))


def pixels_of(uri: str) -> np.ndarray:
    kind, _, content = uri.partition(";base64,")
    assert kind == "data:image/png"
    return tf.io.decode_image(base64.b64decode(content)).numpy()


def test_a_small_image_is_shown_pixel_by_pixel() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (12, 20, 3), "uint8")
    assert (pixels_of(thumbnail(tf.io.encode_png(pixels).numpy(), FEATURE)) == pixels).all()


def test_a_large_image_is_made_smaller_in_its_shape() -> None:
    tall = np.zeros((640, 320, 3), "uint8")
    tall[:320] = 200
    small = pixels_of(thumbnail(tf.io.encode_jpeg(tall).numpy(), FEATURE))
    assert small.shape == (160, 80, 3)
    assert (small[10, 10].tolist(), small[-10, 10].tolist()) == ([200] * 3, [0] * 3)
    line = np.zeros((2, 900, 3), "uint8")
    assert pixels_of(thumbnail(tf.io.encode_png(line).numpy(), FEATURE)).shape == (1, 160, 3)


def test_values_are_shown_in_a_few_words() -> None:
    assert shown_values([b"a" * 1000]) == "a" * 299 + "…"
    assert shown_values([b"\xff!"]) == "\ufffd!"
    assert shown_values([1.0, 2.123456]) == "1, 2.123"
    assert shown_values(list(range(1200))) == "0, 1, 2, 3, 4, 5, 6, 7, … (1,200 in all)"


def test_each_example_is_the_row_that_was_predicted_wrong(answers: Answers, tmp_path: Path) -> None:
    photo = tf.io.encode_png(np.full((8, 8, 3), 9, "uint8")).numpy()
    with tf.io.TFRecordWriter(str(tmp_path / "data_tfrecord-00000-of-00001")) as writer:
        for row in range(200):
            given = {"row_id": f"row {row}", "note": f"note {row}", "photo": photo}
            if row % 2:
                given["photo"] = b""
            example = tf.train.Example()
            for name, value in given.items():
                text = value.encode() if isinstance(value, str) else value
                example.features.feature[name].bytes_list.value.append(text)
            example.features.feature["size"].float_list.value.extend([row, 0.5])
            example.features.feature["photo.missing"].int64_list.value.append(row % 2)
            writer.write(example.SerializeToString())

    found = worst_examples(answers)

    assert list(found) == ["colour", "steep", "tags", "area"]
    assert sum(map(len, found.values())) == MOST_EXAMPLES
    errors = (answers.rows.predictions["area"] - answers.rows.labels["area"])[:, 0]
    worst = int(np.abs(errors).argmax())
    example = found["area"][0]
    assert example.row == f"row {worst}"
    features = dict(example.features)
    assert (features["size"], features["note"]) == (f"{worst}, 0.5", f"note {worst}")
    assert example.truth == f"{answers.truth('area')[worst]:.6g}"
    assert example.predicted == f"{answers.numbers('area')[worst]:.6g}"
    for example in (item for items in found.values() for item in items):
        odd = int(example.row.split()[1]) % 2 == 1
        assert len(example.pictures) == (0 if odd else 1)
        assert dict(example.features).get("photo") == ("missing" if odd else None)
    row = int(found["colour"][0].row.split()[1])
    name = answers.specification.labels["colour"].classes[answers.truth("colour")[row]]
    assert found["colour"][0].truth.startswith(f"{name} (")
