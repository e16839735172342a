"""Tokens made inside a graph. The oracles are Hugging Face's `tokenizers` and SentencePiece."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from fuzzed_text import fuzzed_texts
from tiny_tokenizers import write_bpe, write_spiece, write_vocab_txt
from tokenizers import Tokenizer as HuggingFace

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.spec.tokenizer import Contents, Tokenizer, read_tokenizer
from tfx_fusion.modules.tokens.text_tokens import TextTokens

TEXTS = fuzzed_texts(seed=1, count=600)
PAIR_LENGTH = 11


def in_graph(contents: Contents, length: int, *texts: Sequence[str | bytes]) -> dict[str, Any]:
    tokens = TextTokens(contents, length, len(texts))
    specs = [tf.TensorSpec((None,), tf.string)] * len(texts)
    traced = tf.function(lambda *given: tokens(given), specs, autograph=False)
    return {name: value.numpy() for name, value in traced(*map(tf.constant, texts)).items()}


def by_hugging_face(contents: Contents, length: int, texts: Sequence[Any]) -> dict[str, Any]:
    whole = HuggingFace.from_str(json.dumps(contents.content))
    pad = contents.vocabulary[contents.pad]
    whole.enable_truncation(length)
    whole.enable_padding(length=length, pad_id=pad, pad_token=contents.pad)
    found = whole.encode_batch(list(texts))
    return {
        "ids": np.array([item.ids for item in found]),
        "mask": np.array([item.attention_mask for item in found]),
        "segments": np.array([item.type_ids for item in found]),
    }


def assert_equal(found: dict[str, Any], expected: dict[str, Any], texts: Sequence[Any]) -> None:
    for name, values in expected.items():
        wrong = np.flatnonzero((found[name] != values).any(axis=1))
        assert not len(wrong), (name, [(texts[n], found[name][n], values[n]) for n in wrong[:2]])


@pytest.mark.parametrize("lowercase", [True, False])
def test_word_pieces_are_those_of_hugging_face(lowercase: bool, tmp_path: Path) -> None:
    file = write_vocab_txt(tmp_path)
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=file, lowercase=lowercase))

    found = in_graph(contents, 128, TEXTS)

    assert_equal(found, by_hugging_face(contents, 128, TEXTS), TEXTS)


def test_of_two_texts_the_longer_one_is_cut_as_hugging_face_does(tmp_path: Path) -> None:
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=write_vocab_txt(tmp_path)))
    lengths = [(first, second) for first in range(14) for second in range(14)]
    texts = [("a" * first, "b" * second) for first, second in lengths]

    found = in_graph(contents, PAIR_LENGTH, *map(list, zip(*texts, strict=True)))

    assert_equal(found, by_hugging_face(contents, PAIR_LENGTH, texts), texts)


def test_a_tokenizer_json_packs_by_its_own_template(tmp_path: Path) -> None:
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=write_vocab_txt(tmp_path)))
    template = [
        {"SpecialToken": {"id": "[MASK]", "type_id": 1}}, {"Sequence": {"id": "A", "type_id": 1}},
        {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
    ]  # fmt: skip
    special = {
        name: {"id": name, "ids": [number], "tokens": [name]}
        for name, number in (("[MASK]", 4), ("[SEP]", 3))
    }
    processor = {"type": "TemplateProcessing", "single": template, "special_tokens": special}
    processor["pair"] = [*template, {"Sequence": {"id": "B", "type_id": 0}}]
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps({**contents.content, "post_processor": processor}))
    whole = read_tokenizer(Tokenizer(type="wordpiece", file=file))

    found = in_graph(whole, 9, TEXTS)

    assert_equal(found, by_hugging_face(whole, 9, TEXTS), TEXTS)
    pairs = list(zip(TEXTS, TEXTS[::-1], strict=True))
    assert_equal(in_graph(whole, 9, TEXTS, TEXTS[::-1]), by_hugging_face(whole, 9, pairs), pairs)


def test_byte_pairs_are_those_of_hugging_face(tmp_path: Path) -> None:
    vocabulary, merges = write_bpe(tmp_path)
    contents = read_tokenizer(Tokenizer(type="bpe", file=vocabulary, merges=merges))

    assert_equal(in_graph(contents, 40, TEXTS), by_hugging_face(contents, 40, TEXTS), TEXTS)
    # As a file of its own, where a space is put before each text, and a mark takes those around it.
    mask = {"id": 4, "content": "<mask>", "lstrip": True, "rstrip": True, "special": True}
    added = [*contents.content["added_tokens"], {"single_word": False, "normalized": False, **mask}]
    splitter = {**contents.content["pre_tokenizer"], "add_prefix_space": True}
    file = tmp_path / "tokenizer.json"
    changes = {"added_tokens": added, "pre_tokenizer": splitter}
    file.write_text(json.dumps({**contents.content, **changes}))
    whole = read_tokenizer(Tokenizer(type="bpe", file=file))
    texts = [f"{text} \u3000<mask>\n{text}" for text in TEXTS[:100]]
    pairs = list(zip(TEXTS[:100], texts, strict=True))
    found = in_graph(whole, 40, TEXTS[:100], texts)
    assert_equal(found, by_hugging_face(whole, 40, pairs), pairs)


@pytest.mark.parametrize("kind", ["unigram", "bpe"])
def test_sentence_pieces_are_those_of_the_library(kind: str, tmp_path: Path) -> None:
    file = write_spiece(tmp_path, kind)
    contents = read_tokenizer(Tokenizer(type="sentencepiece", file=file))
    library = sentencepiece.SentencePieceProcessor(model_file=str(file))
    # Of pieces with equal scores ("v i ii" and "v ii i") each version of the library takes another.
    texts = [text.replace("ⅷ", "") for text in TEXTS if "[" not in text and "\0" not in text]

    found = in_graph(contents, 32, texts)

    expected = np.zeros((len(texts), 32), np.int64)
    for row, text in enumerate(texts):
        packed = [2, *library.encode(text)[:30], 3]
        expected[row, : len(packed)] = packed
    assert_equal(found, {"ids": expected}, texts)


def test_invalid_utf_8_reads_as_python_replaces_it(tmp_path: Path) -> None:
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=write_vocab_txt(tmp_path)))
    texts = [b"red\xff the", b"\xe4\xb8", b"\xc3(", b"a\xf0\x9f\x98", b"\x80\x80the"]

    found = in_graph(contents, 12, texts)

    replaced = [text.decode(errors="replace") for text in texts]
    assert_equal(found, by_hugging_face(contents, 12, replaced), texts)


@pytest.mark.parametrize(
    ("part", "value", "reported"),
    [
        ("normalizer", {"type": "Replace", "pattern": {"String": "a"}, "content": "b"},
         "its normalizer 'Replace' cannot run in a graph"),
        ("pre_tokenizer", {"type": "Whitespace"}, "its pre_tokenizer 'Whitespace' cannot run"),
        ("post_processor", {"type": "Other"}, "its post_processor (Other) cannot run in a graph"),
        ("added_tokens", [{"id": 5, "content": "the", "single_word": True}],
         "its added token 'the' is found by the rule 'single_word'"),
    ],
)  # fmt: skip
def test_what_cannot_run_in_a_graph_is_refused(
    part: str, value: Any, reported: str, tmp_path: Path
) -> None:
    contents = read_tokenizer(Tokenizer(type="wordpiece", file=write_vocab_txt(tmp_path)))
    changed = Contents({**contents.content, part: value}, contents.pad)

    with pytest.raises(UserError) as caught:
        TextTokens(changed, 8)

    assert str(caught.value).startswith(reported)
