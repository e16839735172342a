"""WordPiece inside a graph: BERT's normalisation by table, then tensorflow-text's word pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.tokens.characters import character_table

# `max_bytes_per_word` counts bytes, of which a character has up to 4.
BYTES = 4


class WordPieces:
    """Texts `(batch,)` to ids `(batch, None)`, ragged, without special tokens."""

    def __init__(self, content: dict[str, Any]) -> None:
        """Raises UserError where tensorflow-text cannot use the vocabulary of `content`, which is
        that of a `tokenizer.json`."""
        import tensorflow_text

        normalizer, splitter = content.get("normalizer"), content.get("pre_tokenizer")
        model = content["model"]
        self._table = character_table(_words(json.dumps(normalizer), json.dumps(splitter)))
        vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
        self._most = model.get("max_input_chars_per_word", 100)
        self._unknown = model["unk_token"]
        with tf.init_scope():
            try:
                self._pieces = tensorflow_text.FastWordpieceTokenizer(
                    vocabulary,
                    suffix_indicator=model.get("continuing_subword_prefix", "##"),
                    max_bytes_per_word=BYTES * self._most,
                    token_out_type=tf.int64,
                    unknown_token=self._unknown,
                    no_pretokenization=True,
                )
            except (RuntimeError, ValueError) as error:
                raise UserError(f"the vocabulary cannot be used: {error}") from error

    def __call__(self, texts: Any) -> Any:
        codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        normal = tf.strings.unicode_encode(self._table.apply(codes), "UTF-8")
        words = tf.strings.split(normal)
        long = tf.strings.length(words.flat_values, "UTF8_CHAR") > self._most
        words = words.with_flat_values(
            tf.where(long, tf.constant(self._unknown), words.flat_values)
        )
        return self._pieces.tokenize(words).merge_dims(1, 2)


@lru_cache(maxsize=4)
def _words(normalizer: str, splitter: str) -> Callable[[str], list[str]]:
    """From a text to its normalised words, as Hugging Face's `tokenizers` has them."""
    from tokenizers import Tokenizer

    model = {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}
    rules = {"normalizer": json.loads(normalizer), "pre_tokenizer": json.loads(splitter)}
    whole = Tokenizer.from_str(json.dumps({"version": "1.0", "model": model, **rules}))

    def words(text: str) -> list[str]:
        normal = whole.normalizer.normalize_str(text) if whole.normalizer else text
        return [word for word, _ in whole.pre_tokenizer.pre_tokenize_str(normal)]

    return words
