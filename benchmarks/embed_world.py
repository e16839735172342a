"""The data and models of the benchmark of embedding once: images with words, two models."""

import csv
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

CLASSES = 10
WORDS = 100
EVAL_ROWS = 64

SPECIFICATION = """\
name: embed-once
data: {{path: rows.csv, split: {{column: split}}}}
features:
  image: {{type: image, column: image, shape: [{size}, {size}, 3], range: [-1, 1]}}
  words: {{type: text, column: words, vocabulary: words.txt, encoding: multi_hot}}
labels:
  digit: {{type: category, column: digit, classes: [{classes}]}}
submodels:
  vision: {{path: vision.keras, inputs: {{input_layer: image}}}}
  text: {{path: text, inputs: {{tokens: words}}}}
graph:
  joined: {{merge: concatenate, inputs: [vision, text]}}
  hidden: {{layers: [Dense: {{units: 64, activation: relu}}], inputs: joined}}
  scores: {{layers: [Dense: {{units: {number}}}], inputs: hidden}}
outputs:
  digit: {{from: scores, loss: categorical_crossentropy, metrics: [accuracy]}}
training:
  batch_size: {batch}
  seed: 7
  embed_once: false
  stages:
    - {{name: head, epochs: {epochs}, learning_rate: 1e-3}}
evaluation: {{thresholds: {{digit: {{accuracy: {{min: 0}}}}}}}}
publish: {{path: serving}}
"""


@dataclass(frozen=True)
class Sizes:
    """Rows to train on, pixels to a side of the JPEG files, and of the input of the backbone."""

    rows: int
    pixels: int
    size: int
    backbone: str
    batch: int
    epochs: int

    def arguments(self) -> str:
        """The sizes as an argument of this file's own command."""
        return json.dumps(asdict(self))


def make_world(folder: Path, sizes: Sizes) -> Path:
    """Writes models, images and rows into a folder; returns the specification's file."""
    import keras

    keras.utils.set_random_seed(3)
    backbone = getattr(keras.applications, sizes.backbone)(
        input_shape=(sizes.size, sizes.size, 3), include_top=False, weights=None, pooling="avg"
    )
    backbone.save(folder / "vision.keras")
    tokens = keras.Input((WORDS,), name="tokens")
    features = keras.layers.Dense(32, activation="relu", name="features")(tokens)
    keras.Model(tokens, {"features": features}).export(folder / "text", verbose=False)
    words = [f"word{number}" for number in range(WORDS)]
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    _make_rows(folder, sizes, words)
    file = folder / "fusion.yaml"
    file.write_text(
        SPECIFICATION.format(
            size=sizes.size, batch=sizes.batch, epochs=sizes.epochs, number=CLASSES,
            classes=", ".join(map(str, range(CLASSES))),
        )
    )  # fmt: skip
    return file


def _make_rows(folder: Path, sizes: Sizes, words: list[str]) -> None:
    """JPEG images with ten words each."""
    import numpy as np
    import tensorflow as tf

    random = np.random.default_rng(5)
    (folder / "images").mkdir()
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "words", "digit", "split"])
        for number in range(sizes.rows + EVAL_ROWS):
            coarse = random.integers(0, 255, (8, 8, 3)).astype("float32")
            shape = (sizes.pixels, sizes.pixels)
            pixels = tf.cast(tf.image.resize(coarse, shape, "bicubic"), tf.uint8)
            name = f"images/{number:06d}.jpg"
            (folder / name).write_bytes(tf.io.encode_jpeg(pixels, quality=90).numpy())
            text = " ".join(random.choice(words, 10))
            split = "train" if number < sizes.rows else "eval"
            writer.writerow([name, text, int(random.integers(CLASSES)), split])


if __name__ == "__main__":  # python -m benchmarks.embed_world FOLDER SIZES
    make_world(Path(sys.argv[1]), Sizes(**json.loads(sys.argv[2])))
