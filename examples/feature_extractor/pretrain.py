"""Makes the data and the two pretrained models of this example, without the internet.

Scikit-learn's handwritten digits are shown in two ways: scanned (black on white, upright in the
middle) and photographed (coloured, noisy, a little off). One part of the digits, photographed,
pretrains a feature extractor; a second part, scanned, pretrains a classifier of its features; the
third part, photographed, becomes the rows that fusion.yaml reads.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from making import as_pixels, ink_of, make_once, start_keras, write_rows

if TYPE_CHECKING:
    import keras

SEED = 7
ROWS = 600
SIDE = 64
FEATURES = 31 * 31 * 32  # what the extractor's one convolution and pooling leave

# How a photograph may differ from a scan; tuned until the scans' classifier gets a third wrong.
SMALLEST = 60  # of the 64 pixels
NOISE = 0.12


def scan(digit: np.ndarray) -> np.ndarray:
    """A digit (64,) in black on white, (64, 64, 3) of uint8."""
    return as_pixels(np.repeat(1 - ink_of(digit, SIDE)[..., None], 3, axis=2))


def photograph(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit (64,) in any two colours, noisy and moved a little, (64, 64, 3) of uint8."""
    side = int(rng.integers(SMALLEST, SIDE + 1))
    top, left = rng.integers(0, SIDE - side + 1, 2)
    inked = np.zeros((SIDE, SIDE, 1))
    inked[top : top + side, left : left + side, 0] = ink_of(digit, side)
    ink, paper = rng.uniform(0.0, 0.45, 3), rng.uniform(0.55, 1.0, 3)
    return as_pixels(paper + (ink - paper) * inked + rng.normal(0, NOISE, (SIDE, SIDE, 3)))


def photographs(digits: np.ndarray, seed: int) -> np.ndarray:
    """One photograph of each digit (n, 64): (n, 64, 64, 3) of uint8."""
    rng = np.random.default_rng(seed)
    return np.stack([photograph(digit, rng) for digit in digits])


def extractor() -> keras.Model:
    """Images (batch, 64, 64, 3) in [0, 1] to features (batch, 30752)."""
    import keras
    from keras import layers

    image = keras.Input((SIDE, SIDE, 3), name="image")
    x = layers.Conv2D(32, 3, activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    return keras.Model(image, layers.Flatten(name="features")(x), name="cnn")


def classifier() -> keras.Model:
    """Features (batch, 30752) to probabilities (batch, 10)."""
    import keras
    from keras import layers

    features = keras.Input((FEATURES,), name="features")
    x = layers.Dense(128, activation="relu", name="hidden")(features)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(features, probabilities, name="classifier")


def pretrained_extractor(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Learns from images (n, 64, 64, 3) and labels (n,), under a head that is thrown away."""
    import keras
    from keras import layers

    print(f"pretraining the cnn on {len(images)} photographs", flush=True)
    cnn = extractor()
    head = layers.Dense(10, activation="softmax")(layers.Dropout(0.5)(cnn.output))
    whole = keras.Model(cnn.input, head)
    whole.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    whole.fit(images / np.float32(255), labels, batch_size=32, epochs=6, verbose=0)
    return cnn


def pretrained_classifier(features: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Learns from features (n, 30752) and labels (n,)."""
    import keras

    print(f"pretraining the classifier on the features of {len(features)} scans", flush=True)
    model = classifier()
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(features, labels, batch_size=32, epochs=6, verbose=0)
    return model


def score(models: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """Prints how often the two, joined untrained, are right; on the files that others will load."""
    import keras

    features = keras.saving.load_model(models / "cnn.keras").predict(
        images / np.float32(255), verbose=0
    )
    scores = keras.saving.load_model(models / "classifier.keras").predict(features, verbose=0)
    accuracy = (scores.argmax(1) == labels).mean()
    print(f"the two models joined as they came: accuracy {accuracy:.3f}")


def make(data: Path, models: Path) -> None:
    """Fills the two folders."""
    start_keras(SEED)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits, labels = load_digits(return_X_y=True)

    def parted(chosen: np.ndarray, size: float) -> list[np.ndarray]:
        kinds = labels[chosen]
        return train_test_split(chosen, test_size=size, stratify=kinds, random_state=SEED)

    known, rest = parted(np.arange(len(labels)), ROWS)
    photographed, scanned = parted(known, 0.5)

    cnn = pretrained_extractor(photographs(digits[photographed], SEED), labels[photographed])
    cnn.save(models / "cnn.keras")
    scans = np.stack([scan(digit) for digit in digits[scanned]])
    features = cnn.predict(scans / np.float32(255), verbose=0)
    pretrained_classifier(features, labels[scanned]).save(models / "classifier.keras")

    images = photographs(digits[rest], SEED + 1)
    write_rows(data, images, {"digit": labels[rest]})
    score(models, images, labels[rest])


if __name__ == "__main__":
    make_once(Path(__file__), __doc__, make)
