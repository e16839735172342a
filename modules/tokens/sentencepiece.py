"""SentencePiece inside a graph: tensorflow-text runs the library itself on its model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Calls what makes a resource, and notes that it must be saved.
Track = Callable[[Callable[[], Any]], Any]


def plainly(make: Callable[[], Any]) -> Any:
    """Makes a resource that nothing else tracks."""
    return make()


class SentencePieces:
    """Texts `(batch,)` to ids `(batch, None)`, ragged, without special tokens."""

    def __init__(self, proto: bytes, track: Track) -> None:
        """`proto` is the content of a `spiece.model`."""
        import tensorflow_text

        self._pieces = track(
            lambda: tensorflow_text.SentencepieceTokenizer(model=proto, out_type=tf.int32)
        )

    def __call__(self, texts: Any) -> Any:
        # SentencePiece takes invalid bytes in its own way, and so did its training.
        ids = self._pieces.tokenize(texts)
        return tf.cast(ids, tf.int64).with_row_splits_dtype(tf.int64)
