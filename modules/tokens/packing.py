"""Special tokens around one text or two, cut to a length and padded, as Hugging Face packs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from tfx_fusion.modules.spec.tokenizer_json import Item


def pack(
    items: Sequence[Item], texts: Sequence[Any], length: int, pad: int
) -> tuple[Any, Any, Any]:
    """Packs ids `(batch, None)` of each text, ragged.

    They must fit. Returns ids, mask (1 where a token is) and segments, `(batch, length)` int64.
    """
    rows = texts[0].nrows()
    parts, segments = [], []
    for item in items:
        if item.place is None:
            special = tf.constant(item.ids, tf.int64)
            part = tf.RaggedTensor.from_tensor(tf.tile(special[tf.newaxis], [rows, 1]))
        else:
            part = texts[item.place]
        parts.append(part)
        segment = tf.fill(tf.shape(part.flat_values), _int(item.segment))
        segments.append(part.with_flat_values(segment))
    whole = tf.concat(parts, axis=1)
    mask = whole.with_flat_values(tf.ones_like(whole.flat_values))
    shape = [None, length]
    return (
        whole.to_tensor(default_value=_int(pad), shape=shape),
        mask.to_tensor(default_value=_int(0), shape=shape),
        tf.concat(segments, axis=1).to_tensor(default_value=_int(0), shape=shape),
    )


def _int(number: int) -> Any:
    return tf.constant(number, tf.int64)


def longest_first(texts: Sequence[Any], room: int) -> list[Any]:
    """Cuts one text, or the longer one of two first, as `LongestFirst` of `tokenizers`."""
    if len(texts) == 1:
        return [texts[0][:, :room]]
    first, second = (text.row_lengths() for text in texts)
    short = tf.minimum(first, second)
    long = tf.where(short > room, short, tf.maximum(short, room - short))
    half, rest = _int(room // 2), _int(room % 2)
    both = short + long > room
    short, long = tf.where(both, half, short), tf.where(both, half + rest, long)
    fits = first + second <= room
    swapped = first > second
    most = (tf.where(swapped, long, short), tf.where(swapped, short, long))
    return [
        _first_tokens(text, tf.where(fits, length, tf.minimum(length, limit)))
        for text, length, limit in zip(texts, (first, second), most, strict=True)
    ]


def round_robin(texts: Sequence[Any], room: int) -> list[Any]:
    """Cuts one text, or gives two a token each in turn, as KerasHub's packers do."""
    if len(texts) == 1:
        return [texts[0][:, :room]]
    lengths = [text.row_lengths() for text in texts]
    halves = (room - room // 2, room // 2)
    return [
        _first_tokens(text, tf.minimum(length, tf.maximum(_int(half), room - other)))
        for text, length, other, half in zip(texts, lengths, lengths[::-1], halves, strict=True)
    ]


def _first_tokens(text: Any, lengths: Any) -> Any:
    """The first tokens of each row, as many as `lengths` says."""
    places = tf.ragged.range(text.row_lengths())
    wanted = places.flat_values < tf.repeat(lengths, text.row_lengths())
    return tf.ragged.boolean_mask(text, text.with_flat_values(wanted))
