"""Raw text through pretrained text models: training, embeddings, the export and the servers.

The oracles are Hugging Face's `tokenizers` and SentencePiece, with the models run by plain Keras.
"""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from fuzzed_text import fuzzed_texts
from parity import check_parity
from specs import specification_of
from tiny_tokenizers import BERT, write_spiece, write_vocab_txt
from tokenizers import Tokenizer as HuggingFace

from tfx_fusion.modules.serving.published import PublishedModel
from tfx_fusion.modules.spec import Specification
from tfx_fusion.modules.spec.tokenizer import read_tokenizer
from tfx_fusion.modules.submodels.inspection_cache import InspectionCache
from tfx_fusion.modules.submodels.sources import write_model

pytestmark = pytest.mark.component

LENGTH = 14
KINDS = ("question", "answer")


def save_models(folder: Path) -> None:
    """A BERT as `.keras` file and as preset with its tokenizer, and a model of sentence pieces."""
    bert = keras_hub.models.BertBackbone(
        vocabulary_size=len(BERT), num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=16,
        max_sequence_length=LENGTH,
    )  # fmt: skip
    draw = np.random.default_rng(4)
    bert.set_weights([draw.normal(0, 0.5, weight.shape) for weight in bert.weights])
    bert.save(folder / "bert.keras")
    bert.save_to_preset(str(folder / "bert"))
    keras_hub.models.BertTokenizer(list(BERT), lowercase=True).save_to_preset(str(folder / "bert"))
    ids = keras.Input((LENGTH,), dtype="int32", name="ids")
    embedded = keras.layers.Embedding(200, 6)(ids)
    pooled = keras.layers.GlobalAveragePooling1D(name="mean")(embedded)
    keras.Model(ids, pooled).save(folder / "bag.keras")


def specify(folder: Path) -> Specification:
    """Two texts a row: as a pair of word pieces, as sentence pieces, and as they are."""
    vocab, spiece = write_vocab_txt(folder), write_spiece(folder)
    texts = fuzzed_texts(seed=3, count=120)
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["said", "more", "kind"])
        for first, second in zip(texts[::2], texts[1::2], strict=True):
            cells = [first.replace("\0", " ").replace("\r", " "), second.replace("\0", " ")]
            writer.writerow([*cells, KINDS[len(second) % 2]])
    pair = {"token_ids": "words.ids", "padding_mask": "words.mask", "segment_ids": "words.segments"}
    specification = specification_of(
        data={"path": str(folder / "rows.csv"), "split": {"by": "said", "train": 0.7, "eval": 0.3}},
        features={
            "words": {
                "type": "text", "columns": ["said", "more"], "length": LENGTH,
                "tokenizer": {"type": "wordpiece", "file": str(vocab)},
            },
            "pieces": {
                "type": "text", "column": "said", "length": LENGTH,
                "tokenizer": {"type": "sentencepiece", "file": str(spiece)},
            },
            "said": {"type": "text", "column": "said"},
        },
        labels={"kind": {"type": "category", "column": "kind", "classes": KINDS}},
        submodels={
            "pair": {
                "path": str(folder / "bert.keras"), "inputs": pair, "output": "pooled_output",
            },
            "bag": {"path": str(folder / "bag.keras"), "inputs": {"ids": "pieces.ids"}},
            "whole": {
                "preset": str(folder / "bert"), "inputs": {"text": "said"},
                "output": "pooled_output",
            },
        },
        graph={
            "joined": {"merge": "concatenate", "inputs": ["pair", "bag", "whole"]},
            "scores": {"layers": [{"Dense": {"units": 2}}], "inputs": "joined"},
        },
        outputs={"kind": {"from": "scores", "loss": "categorical_crossentropy"}},
        training={
            "batch_size": 16, "stages": [{"name": "head", "epochs": 2, "learning_rate": 0.05}],
        },
    )  # fmt: skip
    placed = InspectionCache(folder / "made").with_paths(specification)
    write_model(specification.submodels["whole"], placed.submodels["whole"].path)
    return placed


def by_hand(
    specification: Specification, folder: Path, model: Path, said: list[str], more: list[str]
) -> Any:
    """The probabilities of rows: tokens by their libraries, models by Keras, a head by NumPy."""
    contents = read_tokenizer(specification.features["words"].tokenizer)
    whole = HuggingFace.from_str(json.dumps(contents.content))
    whole.enable_truncation(LENGTH)
    whole.enable_padding(length=LENGTH)
    found = whole.encode_batch(list(zip(said, more, strict=True)))
    bert = keras.saving.load_model(folder / "bert.keras")
    pair = bert(
        {
            "token_ids": np.array([item.ids for item in found]),
            "padding_mask": np.array([item.attention_mask for item in found]),
            "segment_ids": np.array([item.type_ids for item in found]),
        }
    )["pooled_output"]
    library = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    pieces = np.zeros((len(said), LENGTH), int)
    for row, text in zip(pieces, said, strict=True):
        packed = [2, *library.encode(text)[: LENGTH - 2], 3]
        row[: len(packed)] = packed
    bag = keras.saving.load_model(folder / "bag.keras")(pieces)
    tokenizer = keras_hub.models.BertTokenizer(list(BERT), lowercase=True)
    preprocess = keras_hub.models.BertTextClassifierPreprocessor(tokenizer, sequence_length=LENGTH)
    alone = bert(preprocess(said))["pooled_output"]
    with np.load(model / "assets.extra" / "trained.npz") as trained:
        kernel, bias = trained["graph/scores/0/kernel"], trained["graph/scores/0/bias"]
    scores = np.concatenate([pair, bag, alone], axis=1) @ kernel + bias
    return np.array(tf.nn.softmax(scores))


def test_text_is_predicted_alike_in_training_on_embeddings_and_served(
    prepare_training: Callable[..., Any], embed: Callable[..., Any], tmp_path: Path
) -> None:
    save_models(tmp_path)
    specification = specify(tmp_path)
    inputs = prepare_training(specification)

    # On embeddings and on raw data: the same losses and weights.
    _, stages = check_parity(specification, inputs, tmp_path, embed)

    assert stages[0].plan.embeddings == ("pair.pooled_output", "bag.mean",
                                         "whole.pooled_output")  # fmt: skip
    model = tmp_path / "embedded" / "model"
    loaded = tf.saved_model.load(str(model))
    sign = loaded.signatures["serving_default"]
    shapes = {name: spec.shape[1:] for name, spec in sign.structured_input_signature[1].items()}
    assert shapes == {"words": (2,), "pieces": (), "said": ()}
    # Other texts than those of the rows, with what a CSV file cannot hold.
    texts = [text.replace("ⅷ", "") for text in fuzzed_texts(seed=8, count=100)]
    said = [text for text in texts if "\0" not in text and "[" not in text]
    more = random.Random(1).sample(said, len(said))
    served = sign(
        words=tf.constant([list(pair) for pair in zip(said, more, strict=True)]),
        pieces=tf.constant(said),
        said=tf.constant(said),
    )["kind_probabilities"].numpy()
    expected = by_hand(specification, tmp_path, model, said, more)

    np.testing.assert_allclose(served, expected, atol=1e-5)
    # As rows of a data file, in this process.
    published = PublishedModel(model)
    rows = [(str(n), {"said": said[n], "more": more[n]}) for n in range(len(said))]
    answers = [p.outputs["kind"]["answer"] for p in published.predict(rows, tmp_path)]
    np.testing.assert_allclose(answers, expected[:, 1], atol=1e-5)
