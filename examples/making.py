"""What the pretrain.py scripts of the examples share: two folders, made once, whole or not at all.

A script fills `data/` and `models/`. They are made aside, renamed at the end and stamped with the
source that made them, so that the next run finds them already made.
"""

import argparse
import csv
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from tfx_fusion.pipeline.quiet import import_tensorflow_quietly

FOLDERS = ("data", "models")
STAMP = "made_by.txt"

# data folder, models folder → both filled
Make = Callable[[Path, Path], None]


def start_keras(seed: int) -> None:
    """Imports Keras on TensorFlow, quietly, and seeds it: every run then makes the same weights."""
    os.environ["KERAS_BACKEND"] = "tensorflow"  # read once, when Keras is imported
    print("loading TensorFlow", flush=True)
    import_tensorflow_quietly()
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def ink_of(digit: np.ndarray, side: int) -> np.ndarray:
    """How dark the ink is, (side, side) from 0 to 1, of a digit (64,) of 0 to 16."""
    from PIL import Image

    small = Image.fromarray((digit.reshape(8, 8) * (255 / 16)).astype(np.uint8))
    return np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)) / 255


def as_pixels(image: np.ndarray) -> np.ndarray:
    """An image of 0 to 1 as uint8."""
    return (image.clip(0, 1) * 255).round().astype(np.uint8)


def write_rows(data: Path, images: np.ndarray, others: Mapping[str, Sequence[Any]]) -> None:
    """Writes rows.csv, with the other columns by their names, and one PNG file per row."""
    from PIL import Image

    (data / "images").mkdir()
    with (data / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "image_path", *others])
        for row, (image, *cells) in enumerate(zip(images, *others.values(), strict=True), 1):
            path = f"images/{row:05}.png"
            Image.fromarray(image).save(data / path)
            writer.writerow([row, path, *cells])
    print(f"{len(images)} rows in data/rows.csv", flush=True)


def make_once(script: Path, description: str | None, make: Make) -> None:
    """The `main` of a script: makes data/ and models/ beside it unless they are there.

    The first line of `description` is what `--help` says.
    """
    parser = argparse.ArgumentParser(description=(description or "").split("\n")[0])
    parser.add_argument("--force", action="store_true", help="make all anew, even if it is there")
    force = parser.parse_args().force

    # What these very sources have made is still what they would make.
    sources = script.read_bytes() + Path(__file__).read_bytes()
    digest = hashlib.sha256(sources).hexdigest()
    folder = script.resolve().parent
    stamps = [folder / name / STAMP for name in FOLDERS]
    if not force and all(stamp.is_file() and stamp.read_text() == digest for stamp in stamps):
        print("already made: data/ and models/ (--force makes them anew)")
        return
    start = time.monotonic()
    _make_aside(folder, digest, make)
    print(f"made data/ and models/ in {time.monotonic() - start:.0f} s")


def _make_aside(folder: Path, digest: str, make: Make) -> None:
    """Makes both folders beside their places and renames them at the end, all or nothing."""
    aside = folder / "build"  # git ignores this name
    aside.mkdir(exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=aside) as temporary:
            new = Path(temporary)
            for name in FOLDERS:
                (new / name).mkdir()
                (new / name / STAMP).write_text(digest)
            make(*(new / name for name in FOLDERS))
            for name in FOLDERS:
                # The old one leaves by renaming, too: half removed it could still bear its stamp.
                if (folder / name).exists():
                    (folder / name).rename(new / f"old_{name}")
                (new / name).rename(folder / name)
    finally:
        with suppress(OSError):  # another run may be using it
            aside.rmdir()
