"""Byte-level BPE inside a graph, as GPT-2 and RoBERTa have it.

KerasHub's own, inside a graph, marks spaces by a letter that texts may hold, and remembers words in
a table that grows while a model is served.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfx_fusion.modules.spec.tokenizer_json import letters_of_bytes
from tfx_fusion.modules.tokens.characters import CODES, PAGE

OTHER, LETTER, NUMBER, SPACE = range(4)
NONE = -1  # before the first and behind the last character of a text
APOSTROPHE, BLANK = ord("'"), ord(" ")
# What is split from the word before it: 's, 't, 'm, 'd, 're, 've, 'll.
ENDINGS = ("s", "t", "m", "d", "re", "ve", "ll")
NEVER = np.iinfo(np.int64).max


class BytePairs:
    """Texts `(batch,)` to ids `(batch, None)`, ragged, without special tokens."""

    def __init__(self, content: dict[str, Any]) -> None:
        """`content` is that of a `tokenizer.json`."""
        model = content["model"]
        vocabulary = model["vocab"]
        self._prefix = content["pre_tokenizer"].get("add_prefix_space", True)
        self._size = max(vocabulary.values()) + 1
        self._of_byte = np.array([vocabulary[letter] for letter in letters_of_bytes()], np.int64)
        pairs: dict[int, tuple[int, int]] = {}
        for rank, merge in enumerate(model["merges"]):
            left, right = merge.split(" ") if isinstance(merge, str) else merge
            key = vocabulary[left] * self._size + vocabulary[right]
            pairs[key] = rank, vocabulary[left + right]
        self._keys = np.array(sorted(pairs) or [NEVER], np.int64)
        found = [pairs.get(int(key), (NEVER, 0)) for key in self._keys]
        self._ranks, self._merged = np.array(found, np.int64).T

    def __call__(self, texts: Any) -> Any:
        if self._prefix:
            bare = tf.logical_and(texts != "", tf.strings.substr(texts, 0, 1) != " ")
            texts = tf.where(bare, tf.strings.join([" ", texts]), texts)
        words, per_text = _split(tf.strings.unicode_decode(texts, "UTF-8", errors="replace"))
        distinct, place = tf.unique(words, out_idx=tf.int64)
        pieces = tf.gather(self._pieces(distinct), place)
        return tf.RaggedTensor.from_row_lengths(pieces, per_text, validate=False).merge_dims(1, 2)

    def _pieces(self, words: Any) -> Any:
        """The ids `(words, None)` of words: their bytes, joined by rank, the lowest first."""
        split = tf.strings.bytes_split(words)
        codes = tf.reshape(tf.io.decode_raw(split.flat_values, tf.uint8), [-1])
        ids = tf.gather(tf.constant(self._of_byte), tf.cast(codes, tf.int32))
        count = tf.size(words, tf.int64)

        def join(ids: Any, rows: Any, _: Any) -> Any:
            ranks, merged = self._ranked(ids, rows)
            best = tf.math.unsorted_segment_min(ranks, rows[:-1], count)
            chosen = tf.logical_and(ranks < NEVER, ranks == tf.gather(best, rows[:-1]))
            chosen = tf.concat([_every_other(chosen), [False]], axis=0)
            merged = tf.concat([merged, [0]], axis=0)
            kept = tf.logical_not(tf.concat([[False], chosen[:-1]], axis=0))
            ids = tf.boolean_mask(tf.where(chosen, merged, ids), kept)
            return ids, tf.boolean_mask(rows, kept), tf.reduce_any(chosen)

        found, rows, _ = tf.while_loop(
            lambda ids, rows, more: tf.logical_and(more, tf.size(ids) > 0),
            join,
            (ids, split.value_rowids(), tf.constant(True)),
            shape_invariants=(tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([])),
        )
        return tf.RaggedTensor.from_value_rowids(found, rows, nrows=count, validate=False)

    def _ranked(self, ids: Any, rows: Any) -> tuple[Any, Any]:
        """The rank of each pair of neighbours, and the id that it becomes."""
        keys = tf.constant(self._keys)
        wanted = ids[:-1] * self._size + ids[1:]
        place = tf.minimum(tf.searchsorted(keys, wanted), len(self._keys) - 1)
        known = tf.logical_and(tf.gather(keys, place) == wanted, rows[:-1] == rows[1:])
        ranks = tf.where(known, tf.gather(tf.constant(self._ranks), place), NEVER)
        return ranks, tf.gather(tf.constant(self._merged), place)


def _every_other(chosen: Any) -> Any:
    """Of pairs that overlap, as in "aaa", the first, the third and so on."""
    starts = tf.logical_and(chosen, tf.logical_not(tf.concat([[False], chosen[:-1]], axis=0)))
    run = tf.maximum(tf.cumsum(tf.cast(starts, tf.int64)) - 1, 0)
    begins = tf.concat([tf.reshape(tf.where(starts), [-1]), [0]], axis=0)
    places = tf.range(tf.size(chosen, tf.int64), dtype=tf.int64)
    return tf.logical_and(chosen, (places - tf.gather(begins, run)) % 2 == 0)


def _split(codes: Any) -> tuple[Any, Any]:
    """Texts as characters `(batch, None)` to all their words, and the number of each text's.

    By GPT-2's pattern, whose look-ahead TensorFlow's regular expressions do not know:
    `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+`.
    """
    flat, rows = codes.flat_values, codes.value_rowids()
    pages, kinds = (tf.constant(part) for part in _kinds())
    kind = tf.gather(kinds, tf.gather(pages, flat // PAGE) * PAGE + flat % PAGE)

    def beside(values: Any, by: int, nothing: Any) -> Any:
        """The value `by` places further in the same text."""
        filling = tf.fill([abs(by)], tf.cast(nothing, values.dtype))
        outside = tf.fill([abs(by)], tf.constant(-1, rows.dtype))
        if by > 0:
            other, row = tf.concat([values, filling], 0)[by:], tf.concat([rows, outside], 0)[by:]
        else:
            other = tf.concat([filling, values], 0)[: tf.size(values)]
            row = tf.concat([outside, rows], 0)[: tf.size(values)]
        return tf.where(row == rows, other, tf.cast(nothing, values.dtype))

    before, behind = beside(kind, -1, NONE), beside(kind, 1, NONE)
    after_blank = beside(flat, -1, 0) == BLANK
    free = tf.logical_and(before == SPACE, tf.logical_not(after_blank))
    word = tf.logical_and(before != SPACE, before != kind) | free
    last_space = (before != SPACE) | ((behind != SPACE) & (behind != NONE))
    start = tf.where(kind == SPACE, last_space, word)
    opens = (flat == APOSTROPHE) & (free | ((before != SPACE) & (before != OTHER)))
    for ending in ENDINGS:
        found = opens
        for place, letter in enumerate(ending, start=1):
            found &= beside(flat, place, 0) == ord(letter)
        start &= ~beside(found, -1, False)
        start |= beside(found, -1 - len(ending), False) & (kind != SPACE)
    begins = tf.reshape(tf.where(start), [-1])
    splits = tf.concat([begins, [tf.size(flat, tf.int64)]], axis=0)
    words = tf.RaggedTensor.from_row_splits(flat, splits, validate=False)
    count = tf.math.unsorted_segment_sum(tf.cast(start, tf.int64), rows, codes.nrows())
    return tf.strings.unicode_encode(words, "UTF-8"), count


class Kinds(NamedTuple):
    """The kind of each character: `kinds[pages[code // 256] * 256 + code % 256]`."""

    pages: np.ndarray
    kinds: np.ndarray


@lru_cache(maxsize=1)
def _kinds() -> Kinds:
    """As the regular expressions of Hugging Face's `tokenizers` have them."""
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import Split

    codes = [code for code in range(CODES) if not 0xD800 <= code < 0xE000]
    text = "".join(map(chr, codes))
    found = np.full(CODES, OTHER, np.int32)
    for kind, pattern in ((LETTER, r"\p{L}+"), (NUMBER, r"\p{N}+"), (SPACE, r"\s+")):
        # What is left of all characters is that which does not match.
        matches = np.ones(len(codes), bool)
        for _, (begin, end) in Split(Regex(pattern), "removed").pre_tokenize_str(text):
            matches[begin:end] = False
        found[np.array(codes)[matches]] = kind
    rows, pages = np.unique(found.reshape(-1, PAGE), axis=0, return_inverse=True)
    return Kinds(pages.reshape(-1).astype(np.int32), rows.reshape(-1).astype(np.int32))
