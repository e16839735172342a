"""Makes the data and the two pretrained models of this example, without the internet.

Scikit-learn's handwritten digits are spoiled so that neither model is good alone: something
covers a part of each image, and a listener who hears badly writes down each spoken digit. One
part of the digits pretrains the models, the other part becomes the rows that fusion.yaml reads.
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
PRETRAIN_SHARE = 0.45
# Each pretraining digit is spoiled anew this many times, or 800 digits would be too few.
COPIES = 6

# Tuned until each model alone is right about four times in five, and both together much oftener.
COVERED = (11, 21)  # how many of the 32 pixels, least and most, are covered from one side
NOISE = 0.12
MISHEARD, MUMBLED, STRAY = 0.15, 0.03, 0.05  # shares of the transcripts

# How the listener may write each digit, 0 to 9. "to", "for" and "oh" are ordinary words, too.
SPELLINGS = (
    "zero oh nought", "one won", "two to too", "three free tree", "four for fore",
    "five fife", "six sicks", "seven heaven", "eight ate", "nine nein",
)  # fmt: skip
# Which digit each one, 0 to 9, is mistaken for: by sound, while the vision model errs by shape.
SOUNDS_LIKE = (4, 9, 8, 2, 0, 9, 7, 6, 2, 5)
MUMBLES = "mumble something what noise"
STRAYS = "krrk bzzt fshh umpteen"  # outside of the vocabulary
OPENINGS = (
    "i think they said", "it was", "maybe", "hello this is number", "the digit is", "um well",
    "sorry it sounded like", "she wrote down", "he called out", "my guess would be a",
    "could be", "please write", "next comes", "oh i heard", "and then we got", "probably",
    "listen to this", "yes that must be", "okay here goes", "perhaps",
)  # fmt: skip
CLOSINGS = (
    "", "", "i guess", "again", "but not sure", "to me", "for certain", "or so", "please check",
    "the line is bad", "you know", "very quietly", "with an accent", "right", "twice", "over",
    "thanks", "this is too fast",
)  # fmt: skip


def vocabulary() -> list[str]:
    """The 100 words of words.txt; the id of a word is its place. Id 0 takes unknown words."""
    phrases = (*SPELLINGS, MUMBLES, *OPENINGS, *CLOSINGS)
    words = ["[UNK]", *dict.fromkeys(word for phrase in phrases for word in phrase.split())]
    if len(words) != 100:
        raise ValueError(f"the text model takes 100 words, the phrases hold {len(words)}")
    return words


def spoil_image(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A digit (64,) of 0 to 16 as a noisy, partly covered colour image (32, 32, 3) of uint8."""
    ink, paper = rng.uniform(0.0, 0.4, 3), rng.uniform(0.6, 1.0, 3)
    image = paper + (ink - paper) * ink_of(digit, 32)[..., None]
    covered = np.rot90(image, int(rng.integers(4)))  # a view: from which of the four sides
    covered[: rng.integers(COVERED[0], COVERED[1] + 1)] = rng.uniform(0.2, 0.8, 3)
    image += rng.normal(0, NOISE, image.shape)
    return as_pixels(image)


def transcribe(digit: int, rng: np.random.Generator) -> str:
    """What the listener writes when `digit` is said."""
    chance, spellings = rng.random(), SPELLINGS[digit]
    if chance < MUMBLED:
        spellings = MUMBLES
    elif chance < MUMBLED + MISHEARD:
        spellings = SPELLINGS[SOUNDS_LIKE[digit]]
    parts = [rng.choice(OPENINGS), rng.choice(spellings.split()), rng.choice(CLOSINGS)]
    if rng.random() < STRAY:
        parts.append(rng.choice(STRAYS.split()))
    return " ".join(part for part in parts if part)


def spoil(digits: np.ndarray, labels: np.ndarray, seed: int) -> tuple[np.ndarray, list[str]]:
    """Images (n, 32, 32, 3) of uint8 and n transcripts, of digits (n, 64) and labels (n,)."""
    rng = np.random.default_rng(seed)
    images = np.stack([spoil_image(digit, rng) for digit in digits])
    return images, [transcribe(int(label), rng) for label in labels]


def multi_hot(transcripts: list[str], words: list[str]) -> np.ndarray:
    """Which words each transcript holds, (n, 100) of float32, encoded as the pipeline does."""
    ids = {word: number for number, word in enumerate(words)}
    encoded = np.zeros((len(transcripts), len(words)), np.float32)
    for row, transcript in enumerate(transcripts):
        encoded[row, [ids.get(word, 0) for word in transcript.split()]] = 1
    return encoded


def vision_model() -> keras.Model:
    """Images (batch, 32, 32, 3) in [0, 1] to probabilities (batch, 10), by features (batch, 64)."""
    import keras
    from keras import layers

    image = keras.Input((32, 32, 3), name="image")
    x = image
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.3)(layers.Flatten()(x))
    x = layers.Dense(64, activation="relu", name="features")(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(x)
    return keras.Model(image, probabilities, name="vision")


def text_model() -> keras.Model:
    """Words (batch, 100), multi-hot, to features (batch, 32) and probabilities (batch, 10)."""
    import keras
    from keras import layers

    tokens = keras.Input((100,), name="tokens")
    x = layers.Dropout(0.2)(tokens)
    features = layers.Dense(32, activation="relu", name="features")(x)
    probabilities = layers.Dense(10, activation="softmax", name="probabilities")(features)
    # The exported signature takes its names from the keras.Input and from the keys of this.
    outputs = {"features": features, "probabilities": probabilities}
    return keras.Model(tokens, outputs, name="text")


def pretrain(folder: Path, images: np.ndarray, tokens: np.ndarray, labels: np.ndarray) -> None:
    """Trains both models on images (n, 32, 32, 3), words (n, 100), labels (n,), and saves them."""
    import keras

    loss = "sparse_categorical_crossentropy"
    print(f"pretraining the vision model on {len(images)} images", flush=True)
    vision = vision_model()
    vision.compile(keras.optimizers.Adam(2e-3), loss)
    vision.fit(images / np.float32(255), labels, batch_size=64, epochs=8, verbose=0)
    vision.save(folder / "vision.keras")

    print(f"pretraining the text model on {len(tokens)} transcripts", flush=True)
    text = text_model()
    text.compile(keras.optimizers.Adam(2e-3), {"features": None, "probabilities": loss})
    text.fit(tokens, {"probabilities": labels}, batch_size=64, epochs=10, verbose=0)
    text.export(folder / "text", verbose=False)


def score(folder: Path, images: np.ndarray, tokens: np.ndarray, labels: np.ndarray) -> None:
    """Prints how often each model alone is right, measured on the files that others will load."""
    import keras
    import tensorflow as tf

    vision = keras.saving.load_model(folder / "vision.keras")
    text = tf.saved_model.load(str(folder / "text")).signatures["serving_default"]
    by_image = vision.predict(images / np.float32(255), verbose=0)
    by_text = text(tokens=tf.constant(tokens))["probabilities"].numpy()
    for name, scores in (("vision", by_image), ("text", by_text)):
        print(f"the {name} model alone: accuracy {(scores.argmax(1) == labels).mean():.3f}")


def make(data: Path, models: Path) -> None:
    """Fills the two folders."""
    start_keras(SEED)
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    words = vocabulary()
    (models / "words.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    digits, labels = load_digits(return_X_y=True)
    known, rest = train_test_split(
        np.arange(len(labels)), train_size=PRETRAIN_SHARE, stratify=labels, random_state=SEED
    )
    known = np.tile(known, COPIES)
    images, texts = spoil(digits[known], labels[known], SEED)
    pretrain(models, images, multi_hot(texts, words), labels[known])

    images, texts = spoil(digits[rest], labels[rest], SEED + 1)
    write_rows(data, images, {"transcript": texts, "digit": labels[rest]})
    score(models, images, multi_hot(texts, words), labels[rest])


if __name__ == "__main__":
    make_once(Path(__file__), __doc__, make)
