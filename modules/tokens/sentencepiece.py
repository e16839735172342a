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

    def __init__(self, proto: bytes, track: Track, shift: int = 0, unknown: int = 0) -> None:
        """
        Args:
            proto: the content of a `spiece.model`.
            track: makes the resource that holds the model.
            shift: what is added to each id, as in models that fairseq trained.
            unknown: the id of what no piece covers, where ids are shifted.
        """
        import tensorflow_text

        self._shift, self._unknown = shift, unknown

        def make() -> Any:
            with tf.init_scope():  # it outlives the function that is traced
                return tensorflow_text.SentencepieceTokenizer(model=proto, out_type=tf.int32)

        self._pieces = track(make)

    def __call__(self, texts: Any) -> Any:
        # SentencePiece takes invalid bytes in its own way, and so did its training.
        ids = tf.cast(self._pieces.tokenize(texts), tf.int64).with_row_splits_dtype(tf.int64)
        if not self._shift:
            return ids
        values = ids.flat_values
        unknown = tf.constant(self._unknown, tf.int64)
        return ids.with_flat_values(tf.where(values == 0, unknown, values + self._shift))
