"""WordPiece inside a graph: BERT's normalisation by table, then tensorflow-text's word pieces."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.keras_compat import hub_words
from tfx_fusion.modules.spec.tokenizer_json import HUB_WORDS
from tfx_fusion.modules.tokens.characters import character_table

# Hugging Face counts the characters of a word, tensorflow-text its bytes: up to 4 a character.
BYTES = 4


class WordPieces:
    """Texts `(batch,)` to ids `(batch, None)`, ragged, without special tokens."""

    def __init__(self, content: dict[str, Any]) -> None:
        """Raises UserError where tensorflow-text cannot use the vocabulary of `content`, which is
        that of a `tokenizer.json`."""
        import tensorflow_text

        model = content["model"]
        normalizer, splitter = content.get("normalizer"), content.get("pre_tokenizer")
        self._hub = (normalizer or {}).get("type") == HUB_WORDS
        if self._hub:
            options = dict(normalizer or {})
            options.pop("type")
            self._options = options
        else:
            words = _words(json.dumps(normalizer), json.dumps(splitter))
            self._table = character_table(words)
        vocabulary = sorted(model["vocab"], key=model["vocab"].__getitem__)
        self._most = model["max_input_chars_per_word"]
        self._unknown = model["unk_token"]
        with tf.init_scope():
            try:
                self._pieces = tensorflow_text.FastWordpieceTokenizer(
                    vocabulary,
                    suffix_indicator=model.get("continuing_subword_prefix", "##"),
                    max_bytes_per_word=self._most * (1 if self._hub else BYTES),
                    token_out_type=tf.int64,
                    unknown_token=self._unknown,
                    no_pretokenization=True,
                )
            except (RuntimeError, ValueError) as error:
                raise UserError(f"the vocabulary cannot be used: {error}") from error

    def __call__(self, texts: Any) -> Any:
        words = self._words_of_hub(texts) if self._hub else self._words(texts)
        return self._pieces.tokenize(words).merge_dims(1, 2)

    def _words(self, texts: Any) -> Any:
        codes = tf.strings.unicode_decode(texts, "UTF-8", errors="replace")
        normal = tf.strings.unicode_encode(self._table.apply(codes), "UTF-8")
        words = tf.strings.split(normal)
        long = tf.strings.length(words.flat_values, "UTF8_CHAR") > self._most
        unknown = tf.constant(self._unknown)
        return words.with_flat_values(tf.where(long, unknown, words.flat_values))

    def _words_of_hub(self, texts: Any) -> Any:
        # Any control character separates words, but a NUL would end the text.
        return hub_words(tf.strings.regex_replace(texts, "\0", "\1"), **self._options)


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
