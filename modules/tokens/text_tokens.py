"""A tokenizer with its special tokens, packing and length, as one function of a graph."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.errors import UserError
from tfx_fusion.modules.spec.tokenizer import SENTENCEPIECE, Contents
from tfx_fusion.modules.spec.tokenizer_json import AddedToken, added_tokens, check_runs, template
from tfx_fusion.modules.tokens.bytepairs import BytePairs
from tfx_fusion.modules.tokens.loading import import_tensorflow_text
from tfx_fusion.modules.tokens.packing import longest_first, pack, round_robin
from tfx_fusion.modules.tokens.sentencepiece import SentencePieces, Track, plainly
from tfx_fusion.modules.tokens.wordpiece import WordPieces

# Around a special token inside a text: no byte of UTF-8.
MARK = b"\xff"
# What Unicode calls white space, which RE2's own classes lack in part.
SPACES = r"[\t-\r \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]*"
MARKED = rb"\0".join([MARK, MARK])


class TextTokens:
    """One text or two `(batch,)` of each row to `ids`, `mask` and `segments` `(batch, length)`.

    All are int64.
    """

    def __init__(
        self, contents: Contents, length: int, texts: int = 1, track: Track = plainly
    ) -> None:
        """
        Args:
            contents: what the tokenizer's files say.
            length: the tokens of a row, special ones included.
            texts: 1 or 2.
            track: makes what must be saved with the function.

        Raises UserError where the files describe something that cannot run in a graph.
        """
        import_tensorflow_text()
        content = contents.content
        check_runs(content)
        self._length = length
        self._items = template(content, texts)
        self._truncate = longest_first
        if (content.get("truncation") or {}).get("strategy") == "RoundRobin":
            self._truncate = round_robin
        self._pad = contents.vocabulary[contents.pad]
        self._added = [(token, _pattern(token)) for token in added_tokens(content)]
        self._model: Any
        kind = content["model"]["type"]
        if kind == "WordPiece":
            self._model = WordPieces(content)
        elif kind == "BPE":
            self._model = BytePairs(content)
        elif kind == SENTENCEPIECE:
            proto = base64.b64decode(content["model"]["proto"])
            options = {key: content["model"].get(key, 0) for key in ("shift", "unknown")}
            self._model = SentencePieces(proto, track, **options)
        else:
            raise UserError(f"a tokenizer of type {kind} cannot run in a graph")

    def __call__(self, texts: Sequence[Any]) -> dict[str, Any]:
        """The texts are one tensor of strings `(batch,)`, or two."""
        room = self._length - sum(len(item.ids) for item in self._items)
        tokens = self._truncate([self.tokens(text) for text in texts], room)
        ids, mask, segments = pack(self._items, tokens, self._length, self._pad)
        return {"ids": ids, "mask": mask, "segments": segments}

    def tokens(self, texts: Any) -> Any:
        """Texts `(batch,)` to ids `(batch, None)`, ragged, without what packing adds."""
        texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
        if not self._added:
            return self._model(texts)
        # What an added token is written as in a text is that token, as in `tokenizers`. Not by
        # tensorflow-text's `regex_split`, which loses what stands behind a NUL.
        anyone = "|".join(pattern for _, pattern in self._added)
        pieces = tf.strings.split(tf.strings.regex_replace(texts, anyone, MARKED), sep=MARK)
        flat = pieces.flat_values
        number = tf.fill(tf.shape(flat), tf.constant(-1, tf.int64))
        for token, pattern in self._added:
            found = tf.strings.regex_full_match(flat, pattern)
            number = tf.where(found, tf.constant(token.id, tf.int64), number)
        special = number >= 0
        rest = self._model(tf.where(special, "", flat))
        alone = tf.RaggedTensor.from_row_lengths(
            tf.boolean_mask(number, special), tf.cast(special, tf.int64), validate=False
        )
        return pieces.with_flat_values(tf.concat([rest, alone], axis=1)).merge_dims(1, 2)


def _pattern(token: AddedToken) -> str:
    before, behind = (SPACES if strips else "" for strips in (token.lstrip, token.rstrip))
    return f"{before}{re.escape(token.content)}{behind}"
