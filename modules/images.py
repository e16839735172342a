"""The size of an encoded image, read from its header before anything of it is decoded."""

from typing import Any

import tensorflow as tf

HEADER = 32  # bytes, enough for the sizes in a PNG, GIF or BMP
JPEG, PNG, GIF, BMP = b"\xff\xd8", b"\x89PNG", b"GIF8", b"BM"


def pixels_of(encoded: Any) -> Any:
    """How many pixels a JPEG, PNG, GIF or BMP says that it has; 0 for anything else.

    A file of 48 kB can be an image of 400 million pixels, which takes 1.2 GB once it is decoded.
    For eager code and graphs alike.

    Args:
        encoded: the bytes, a scalar of strings.

    Returns:
        A scalar int64.
    """
    begin = tf.strings.substr(encoded, 0, HEADER)
    padded = tf.strings.substr(begin + b"\0" * HEADER, 0, HEADER)
    header = tf.cast(tf.io.decode_raw(padded, tf.uint8), tf.int64)

    def number(start: int, size: int, big_endian: bool = False) -> Any:
        places = range(size - 1, -1, -1) if big_endian else range(size)
        scale = tf.constant([1 << 8 * place for place in places], tf.int64)
        return tf.reduce_sum(header[start : start + size] * scale)

    def is_a(signature: bytes) -> Any:
        return tf.equal(tf.strings.substr(begin, 0, len(signature)), signature)

    def of_jpeg() -> Any:
        return tf.reduce_prod(tf.image.extract_jpeg_shape(encoded, tf.int64)[:2])

    def signed(value: Any) -> Any:  # a BMP's height is negative where its rows go down
        return tf.abs(tf.where(value >= 1 << 31, value - (1 << 32), value))

    sizes = (
        (PNG, number(16, 4, big_endian=True) * number(20, 4, big_endian=True)),
        (GIF, number(6, 2) * number(8, 2)),
        (BMP, signed(number(18, 4)) * signed(number(22, 4))),
    )
    found = tf.add_n([tf.where(is_a(signature), size, 0) for signature, size in sizes])
    return tf.cond(is_a(JPEG), of_jpeg, lambda: found)
