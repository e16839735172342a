"""The size in an image's header, against the image itself, eager and in a graph."""

import struct
import zlib

import pytest
import tensorflow as tf

from tfx_fusion.modules.images import pixels_of

PIXELS = tf.zeros((7, 300, 3), tf.uint8)
GIF = b"GIF89a" + struct.pack("<HH", 300, 7) + bytes(20)
BMP = b"BM" + bytes(16) + struct.pack("<ii", 300, -7) + bytes(20)


@pytest.mark.parametrize(
    "encoded",
    [tf.io.encode_jpeg(PIXELS), tf.io.encode_png(PIXELS), GIF, BMP],
    ids=["jpeg", "png", "gif", "bmp"],
)
def test_the_pixels_are_those_of_the_header(encoded: bytes) -> None:
    assert int(pixels_of(encoded)) == 2100
    assert int(tf.function(pixels_of)(tf.constant(encoded))) == 2100


@pytest.mark.parametrize("encoded", [b"", b"B", b"text", b"\x89PNG"], ids=repr)
def test_what_is_no_image_has_none(encoded: bytes) -> None:
    assert int(pixels_of(encoded)) == 0


def test_a_size_beyond_32_bits_does_not_wrap_around() -> None:
    header = struct.pack(">II", 1 << 20, 1 << 20)
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + zlib.compress(b"")

    assert int(pixels_of(png)) == 1 << 40
