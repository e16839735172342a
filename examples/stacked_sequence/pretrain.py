"""Makes the data and the pretrained model of this example, without the internet.

128 sensors listen to a machine for 8 to 20 steps. Each hears, in its own mixture, a shaft that
turns now faster, now slower, a hum, a slow sway, and much noise. Many recordings that nobody
labelled pretrain an encoder: it learns to foretell the next step. A few others, of which one
knows how many turns the shaft has made, become the rows that fusion.yaml reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from making import make_once, start_keras

if TYPE_CHECKING:
    import keras

SEED = 7
RECORDINGS, ROWS = 1500, 700  # without a label and with one
STEPS = (8, 20)  # least and most
SENSORS = 128

# In turns a step; above half a turn one could not tell forward from backward.
SHAFT, DRIFT = (0.03, 0.17), 0.012
HUM, SWAY = (0.28, 0.42), (0.005, 0.02)
NOISE = 2.0  # of each sensor, where the three movements together have about 1.8
SCALE = 0.25


def record(mixture: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """What the sensors hear, (steps, 128) of float32, and the turns of the shaft meanwhile.

    `mixture` (6, 128) is how loud each sensor hears the sine and cosine of each movement.
    """
    steps = int(rng.integers(STEPS[0], STEPS[1] + 1))
    speed = rng.uniform(*SHAFT) + rng.normal(0, DRIFT, steps).cumsum()
    shaft = speed.clip(SHAFT[0] / 2, None).cumsum()
    hum, sway = (rng.uniform(*range_) * np.arange(steps) for range_ in (HUM, SWAY))
    angles = 2 * np.pi * (np.stack([shaft, hum, sway], axis=1) + rng.uniform(0, 1, 3))
    loudness = rng.uniform(0.5, 1.5, 3)
    movements = np.concatenate([loudness * np.sin(angles), loudness * np.cos(angles)], axis=1)
    heard = movements @ mixture + rng.normal(0, NOISE, (steps, SENSORS))
    return (heard * SCALE).astype(np.float32), float(shaft[-1] - shaft[0])


def recordings(count: int, mixture: np.ndarray, seed: int) -> tuple[list[np.ndarray], np.ndarray]:
    """`count` recordings (steps, 128) and the turns (count,) of each."""
    rng = np.random.default_rng(seed)
    heard, turns = zip(*(record(mixture, rng) for _ in range(count)), strict=True)
    return list(heard), np.array(turns)


def padded(heard: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Recordings as (n, 20, 128), padded with 0, and which steps are real, (n, 20)."""
    values = np.zeros((len(heard), STEPS[1], SENSORS), np.float32)
    real = np.zeros((len(heard), STEPS[1]), np.float32)
    for row, recording in enumerate(heard):
        values[row, : len(recording)] = recording
        real[row, : len(recording)] = 1
    return values, real


def encoder_model() -> keras.Model:
    """Recordings (batch, steps, 128) to states (batch, steps, 64), for any number of steps."""
    import keras
    from keras import layers

    steps = keras.Input((None, SENSORS), name="steps")
    states = layers.LSTM(64, return_sequences=True, name="states")(steps)
    return keras.Model(steps, states, name="encoder")


def pretrained_encoder(heard: list[np.ndarray]) -> keras.Model:
    """Learns to foretell each next step, under a head that is thrown away."""
    import keras
    from keras import layers

    print(f"pretraining the encoder on {len(heard)} recordings without a label", flush=True)
    encoder = encoder_model()
    whole = keras.Model(encoder.input, layers.Dense(SENSORS)(encoder.output))
    whole.compile(keras.optimizers.Adam(3e-3), "mean_squared_error")
    values, real = padded(heard)
    # The padding is at the end, so no real step comes after it; only its own error must not count.
    whole.fit(
        values[:, :-1], values[:, 1:], sample_weight=real[:, 1:],
        batch_size=64, epochs=12, verbose=0,
    )  # fmt: skip
    return encoder


def write_rows(data: Path, heard: list[np.ndarray], turns: np.ndarray) -> None:
    """Writes rows.jsonl and one .npy file per row."""
    (data / "steps").mkdir()
    with (data / "rows.jsonl").open("w", encoding="utf-8") as file:
        for row, (recording, turned) in enumerate(zip(heard, turns, strict=True), 1):
            path = f"steps/{row:05}.npy"
            np.save(data / path, recording)
            file.write(json.dumps({"id": row, "steps": path, "turns": round(turned, 4)}) + "\n")
    print(f"{len(heard)} rows in data/rows.jsonl", flush=True)


def score(heard: list[np.ndarray], turns: np.ndarray) -> None:
    """Prints how far off one is without listening, which is what a threshold must exclude."""
    lengths = np.array([len(recording) for recording in heard])
    by_length = np.polyval(np.polyfit(lengths, turns, 1), lengths)
    for guess, guessed in (("the mean of all", turns.mean()), ("by the length alone", by_length)):
        error = np.sqrt(np.mean((guessed - turns) ** 2))
        print(f"guessing {guess}: root mean squared error {error:.3f}")


def make(data: Path, models: Path) -> None:
    """Fills the two folders."""
    start_keras(SEED)
    mixture = np.random.default_rng(SEED).normal(0, 1, (6, SENSORS))
    unlabelled, _ = recordings(RECORDINGS, mixture, SEED + 1)
    pretrained_encoder(unlabelled).save(models / "encoder.keras")
    heard, turns = recordings(ROWS, mixture, SEED + 2)
    write_rows(data, heard, turns)
    score(heard, turns)


if __name__ == "__main__":
    make_once(Path(__file__), __doc__, make)
