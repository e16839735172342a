"""What a tokenizer makes of each character, as a table that runs inside a graph.

TensorFlow's own operations follow other versions of Unicode and other rules than the tokenizers
that models were trained with: `case_fold_utf8` makes "ss" of "ß", and `\\p{P}` lacks new
punctuation. So the table is asked of the tokenizer itself, one character at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

CODES = 0x110000
PAGE = 256
SURROGATES = range(0xD800, 0xE000)
# Where characters differ one by one; elsewhere whole pages behave alike.
VARIED = (range(0x32400), range(0xE0000, 0xE0200))
ITSELF, SPACE = -1, 0x20


class CharacterTable(NamedTuple):
    """What stands for each character: row `rows[pages[code // 256], code % 256]` of `values`.

    Row `n` is `values[splits[n]:splits[n + 1]]`, codes of characters; -1 is the character itself.
    """

    pages: np.ndarray
    rows: np.ndarray
    values: np.ndarray
    splits: np.ndarray

    def apply(self, codes: Any) -> Any:
        """Characters `(batch, None)` of texts, ragged, to those that stand for them."""
        flat = codes.flat_values
        page = tf.gather(tf.constant(self.pages), flat // PAGE)
        row = tf.gather(tf.constant(self.rows.reshape(-1)), page * PAGE + flat % PAGE)
        table = tf.RaggedTensor.from_row_splits(
            tf.constant(self.values), tf.constant(self.splits), validate=False
        )
        found = tf.gather(table, row)
        own = tf.repeat(flat, found.row_lengths())
        values = tf.where(found.flat_values == ITSELF, own, found.flat_values)
        splits = tf.gather(found.row_splits, codes.row_splits)
        return tf.RaggedTensor.from_row_splits(values, splits, validate=False)


@lru_cache(maxsize=4)
def character_table(words: Callable[[str], list[str]]) -> CharacterTable:
    """The table of a rule for which characters do not depend on their neighbours.

    Args:
        words: from a text to its words, normalised.
    """
    known: dict[tuple[int, ...], int] = {}
    pages: dict[bytes, int] = {}
    rows: list[np.ndarray] = []
    page_of = np.empty(CODES // PAGE, np.int32)
    for number in range(CODES // PAGE):
        found = _page(number, words)
        places = {row: known.setdefault(row, len(known)) for row in set(found)}
        page = np.fromiter(map(places.__getitem__, found), np.int32, PAGE)
        key = page.tobytes()
        if key not in pages:
            pages[key] = len(rows)
            rows.append(page)
        page_of[number] = pages[key]
    values = [code for row in known for code in row]
    splits = np.cumsum([0, *map(len, known)])
    return CharacterTable(
        page_of, np.stack(rows), np.array(values, np.int32), splits.astype(np.int64)
    )


def _page(number: int, words: Callable[[str], list[str]]) -> list[tuple[int, ...]]:
    start = number * PAGE
    if start in SURROGATES:
        return [()] * PAGE
    if not any(start in codes for codes in VARIED):
        ends = _rows([start, start + 1, start + PAGE - 2, start + PAGE - 1], words)
        if len(set(ends)) == 1:
            return ends[:1] * PAGE
    return _rows(range(start, start + PAGE), words)


def _rows(codes: Sequence[int], words: Callable[[str], list[str]]) -> list[tuple[int, ...]]:
    """What stands for each character, found between two letters that no rule changes."""
    groups: list[list[str]] = [[]]
    # All in one call, which takes most of the time.
    for word in words(" ".join(f"x{chr(code)}y" for code in codes)):
        groups[-1].append(word)
        if word.endswith("y"):
            groups.append([])
    if len(groups) != len(codes) + 1:  # a character became a word that ends so
        groups = [words(f"x{chr(code)}y") for code in codes]
    return [_row(code, found) for code, found in zip(codes, groups, strict=False)]


def _row(code: int, found: list[str]) -> tuple[int, ...]:
    """What stands for a character, of which the words between its two letters were `found`."""
    if len(found) > 1:
        inside = [SPACE]
        for word in found[1:-1]:
            inside += [*map(ord, word), SPACE]
    elif found[0][1:-1] == chr(code):
        return (ITSELF,)
    else:
        inside = [ord(letter) for letter in found[0][1:-1]]
    return tuple(ITSELF if inner == code else inner for inner in inside)
