"""Encoded images to pixels, against NumPy and PIL."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from transformed import transform

from tfx_fusion.modules.spec import (
    ImageFeature,
)

PIXELS = np.random.default_rng(1).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)


def encoded(pixels: np.ndarray, mode: str = "RGB", format_name: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, format_name)
    return stream.getvalue()


def image_feature(*shape: int, low: float = 0.0, high: float = 1.0) -> ImageFeature:
    return ImageFeature.model_validate(
        {"type": "image", "column": "a", "shape": shape, "range": (low, high)}
    )


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.5, 0.5)])
def test_pixels_are_scaled_to_the_range(low: float, high: float) -> None:
    found = transform(image_feature(9, 7, 3, low=low, high=high), [encoded(p) for p in PIXELS])

    assert found.dtype == np.float32
    wanted = low + PIXELS.astype(np.float64) / 255 * (high - low)
    np.testing.assert_allclose(found, wanted, atol=1e-6 * (high - low))


def test_black_and_white_are_the_ends_of_the_range() -> None:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0] = 255

    found = transform(image_feature(2, 2, 3, low=-1.0, high=1.0), [encoded(pixels)])

    np.testing.assert_allclose(found[0, 0], 1.0, atol=1e-6)
    np.testing.assert_allclose(found[0, 1], -1.0, atol=1e-6)


def bilinear(pixels: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear resizing of `(height, width, channels)`, pixel centres at halves, by its formula."""

    def along(values: np.ndarray, size: int) -> np.ndarray:
        length = values.shape[0]
        position = (np.arange(size) + 0.5) * length / size - 0.5
        below = np.floor(position)
        share = (position - below).reshape(-1, *[1] * (values.ndim - 1))
        lower = values[np.clip(below, 0, length - 1).astype(int)]
        upper = values[np.clip(below + 1, 0, length - 1).astype(int)]
        return lower * (1 - share) + upper * share

    rows = along(pixels.astype(np.float64), height)
    return along(rows.swapaxes(0, 1), width).swapaxes(0, 1)


@pytest.mark.parametrize("size", [(18, 14), (5, 4), (4, 20), (9, 7), (1, 1)])
def test_images_are_resized_bilinearly(size: tuple[int, int]) -> None:
    found = transform(image_feature(*size, 3), [encoded(p) for p in PIXELS])

    wanted = np.stack([bilinear(p, *size) for p in PIXELS]) / 255
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_images_enlarge_as_pil_enlarges_them() -> None:
    found = transform(image_feature(18, 14, 3), [encoded(PIXELS[0])])

    # Mode F keeps fractions, which PIL would round in mode RGB.
    channels = [
        Image.fromarray(PIXELS[0, ..., channel].astype(np.float32)).resize(
            (14, 18), Image.Resampling.BILINEAR
        )
        for channel in range(3)
    ]
    np.testing.assert_allclose(found[0], np.stack(channels, axis=-1) / 255, atol=1e-5)


@pytest.mark.parametrize(
    ("mode", "channels"), [("L", 1), ("L", 3), ("RGBA", 4), ("RGBA", 3), ("P", 3), ("RGB", 4)]
)
def test_channels_are_what_the_shape_says(mode: str, channels: int) -> None:
    content = encoded(PIXELS[0], mode)

    found = transform(image_feature(9, 7, channels), [content])

    wanted_mode = {1: "L", 3: "RGB", 4: "RGBA"}[channels]
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert(wanted_mode), np.float64)
    np.testing.assert_allclose(found[0], wanted.reshape(9, 7, channels) / 255, atol=1e-6)


@pytest.mark.parametrize(("format_name", "levels"), [("BMP", 0), ("GIF", 0), ("JPEG", 4)])
def test_other_formats_are_read_as_pil_reads_them(format_name: str, levels: int) -> None:
    # Decoders of JPEG may differ by a few of 255 levels; the others are exact.
    content = encoded(np.kron(PIXELS[0], np.ones((8, 8, 1), np.uint8)), "RGB", format_name)

    found = transform(image_feature(72, 56, 3), [content])

    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.float64) / 255
    np.testing.assert_allclose(found[0], wanted, atol=levels / 255 + 1e-6)


def test_of_an_animation_the_first_picture_counts() -> None:
    stream = io.BytesIO()
    frames = [Image.fromarray(np.full((4, 4, 3), level, np.uint8)) for level in (255, 0)]
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])

    found = transform(image_feature(4, 4, 3), [stream.getvalue()])

    np.testing.assert_allclose(found[0], 1.0, atol=1e-6)


def test_images_of_many_sizes_make_one_batch() -> None:
    sizes = [(2, 2), (30, 5), (9, 7)]
    contents = [encoded(np.full((*size, 3), 51, np.uint8)) for size in sizes]

    found = transform(image_feature(4, 4, 3), contents)

    np.testing.assert_allclose(found, np.full((3, 4, 4, 3), 0.2), atol=1e-6)


def test_an_image_of_too_many_pixels_is_not_decoded() -> None:
    part = image_feature(2, 2, 3).changed(max_pixels=11)

    transform(part, [encoded(np.zeros((1, 11, 3), np.uint8))])
    with pytest.raises(tf.errors.InvalidArgumentError, match="an image of at most 11 pixels"):
        transform(part, [encoded(np.zeros((3, 4, 3), np.uint8))])
