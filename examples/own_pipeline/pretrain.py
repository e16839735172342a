"""Makes the data and the pretrained models of this example, without the internet.

Customers write to a shop. Many letters that nobody labelled and many accounts pretrain two models:
one reads what kind of letter it is, the other how much an account has bought. A few customers, of
whom one knows whether they left, become the rows that the pipeline reads.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from making import make_once, start_keras

SEED = 11
ACCOUNTS, LETTERS, ROWS = 2000, 2000, 900
BUCKETS, LENGTH = 500, 12  # of hashed words, and words of a letter
WORDS = {
    "thanks": ["thanks", "great", "happy", "quick", "again", "lovely", "perfect", "recommend"],
    "question": ["when", "where", "how", "size", "colour", "order", "address", "invoice"],
    "complaint": ["late", "broken", "refund", "angry", "wrong", "never", "missing", "terrible"],
}
FILLING = ["the", "a", "my", "your", "with", "and", "this", "order", "it", "is", "was", "for"]


def letters(count: int, rng: np.random.Generator) -> tuple[list[str], np.ndarray]:
    """`count` letters, and the kind (count,) of each by its place in WORDS."""
    kinds = rng.integers(0, len(WORDS), count)
    vocabularies = list(WORDS.values())
    texts = []
    for kind in kinds:
        words = [*rng.choice(vocabularies[kind], 3), *rng.choice(FILLING, rng.integers(3, 9))]
        texts.append(" ".join(rng.permutation(words)))
    return texts, kinds


def accounts(count: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Days since the account was opened, visits a month and money spent, `(count,)` each."""
    days = rng.integers(10, 2000, count)
    visits = rng.poisson(2 + days / 500)
    spent = (visits * rng.gamma(2, 12, count)).round(2)
    return {"days": days, "visits": visits, "spent": spent}


def save_account_model(path: Path, rng: np.random.Generator) -> None:
    """Foretells from days and visits, each (batch, 1), what is spent: `account.keras`."""
    import keras
    from keras import layers

    days, visits = keras.Input((1,), name="days"), keras.Input((1,), name="visits")
    both = layers.Concatenate()([days, visits])
    features = layers.Dense(8, activation="relu", name="features")(both)
    model = keras.Model({"days": days, "visits": visits}, layers.Dense(1, name="spent")(features))
    model.compile("adam", "mean_squared_error")
    known = accounts(ACCOUNTS, rng)
    inputs = {
        "days": (known["days"][:, None] - 1000) / 600.0,
        "visits": known["visits"][:, None].astype("float32"),
    }
    model.fit(inputs, known["spent"][:, None] / 100, epochs=3, verbose=0)
    model.save(path)


def save_letter_model(path: Path, rng: np.random.Generator) -> None:
    """Reads text (batch,) and gives features (batch, 16): a SavedModel."""
    import keras
    import tensorflow as tf
    from keras import layers

    tokens = keras.Input((LENGTH,), dtype="int64")
    words = layers.Embedding(BUCKETS + 1, 16, name="words")(tokens)
    features = layers.Dense(16, activation="tanh")(layers.GlobalAveragePooling1D()(words))
    encoder = keras.Model(tokens, features)
    classifier = keras.Model(tokens, layers.Dense(len(WORDS), activation="softmax")(features))
    classifier.compile("adam", "sparse_categorical_crossentropy")

    def hashed(text: tf.Tensor) -> tf.Tensor:
        ids = tf.strings.to_hash_bucket_fast(tf.strings.split(text), BUCKETS) + 1
        return ids.to_tensor(shape=[None, LENGTH])

    texts, kinds = letters(LETTERS, rng)
    classifier.fit(hashed(tf.constant(texts)), kinds, epochs=4, verbose=0)

    class Reader(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None,), tf.string, name="text")])
        def read(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"features": self.encoder(hashed(text), training=False)}

    reader = Reader()
    reader.encoder = encoder
    tf.saved_model.save(reader, str(path), signatures=reader.read)


def write_rows(path: Path, rng: np.random.Generator) -> None:
    """Customers: who complains and visits seldom leaves most often; some have spent nothing."""
    known = accounts(ROWS, rng)
    texts, kinds = letters(ROWS, rng)
    score = 2.5 * (kinds == 2) - 0.5 * known["visits"] + rng.normal(0, 0.5, ROWS) + 0.8
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["customer", "days", "visits", "spent", "letter", "left"])
        for row in range(ROWS):
            spent = known["spent"][row]
            writer.writerow([
                f"c{row:04}", known["days"][row], known["visits"][row], spent if spent else "",
                texts[row], "yes" if score[row] > 0 else "no",
            ])  # fmt: skip
    print(f"{ROWS} rows in data/csv/rows.csv", flush=True)


def make(data: Path, models: Path) -> None:
    start_keras(SEED)
    rng = np.random.default_rng(SEED)
    save_account_model(models / "account.keras", rng)
    save_letter_model(models / "letters", rng)
    (data / "csv").mkdir()  # CsvExampleGen reads every file of a folder
    write_rows(data / "csv" / "rows.csv", rng)


if __name__ == "__main__":
    make_once(Path(__file__), __doc__, make)
