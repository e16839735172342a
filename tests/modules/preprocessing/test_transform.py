"""From what stands in a tf.Example to what the fused model takes, against NumPy, PIL and Keras."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from tfx_fusion.modules.data.schema import implied_schema
from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    Label,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
)

PIXELS = np.random.default_rng(1).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
WORDS = ("[UNK]", "red", "green", "grün", "very", "its", "日本")


def transform(feature: Feature, values: Any) -> np.ndarray:
    """One feature of a batch as the graph gives it, traced once for batches of any size."""
    config = transform_config({"x": feature}, {})

    @tf.function
    def traced(raw: Any, row_id: Any) -> Any:
        return preprocessing_fn({"x": raw, "row_id": row_id}, config)["x"]

    tensor = tf.constant(values)
    return traced(tensor, tf.fill([tf.shape(tensor)[0]], "row 1")).numpy()


def transform_label(label: Label, values: Any) -> np.ndarray:
    config = transform_config({}, {"y": label})
    raw = {"y": tf.constant(values), "row_id": tf.fill([len(values)], "row 1")}
    return preprocessing_fn(raw, config)["y"].numpy()


def encoded(pixels: np.ndarray, mode: str = "RGB", format_name: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, format_name)
    return stream.getvalue()


def image_feature(*shape: int, low: float = 0.0, high: float = 1.0) -> ImageFeature:
    return ImageFeature.model_validate(
        {"type": "image", "column": "a", "shape": shape, "range": (low, high)}
    )


# Images


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


# Text


SENTENCES = [
    "red green",
    "Red, GREEN!",
    "very very red",
    "  green\t red\nvery ",
    "it's (very) red-green",
    "",
    "...",
    "purple",
    "purple red yellow",
    "grün 日本",
    "red\u00a0green",
]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Callable[..., Path]:
    def write(*words: str) -> Path:
        path = tmp_path / "words.txt"
        path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
        return path

    return write


def text_feature(path: Path, encoding: str, length: int | None = None) -> TextFeature:
    return TextFeature.model_validate(
        {
            "type": "text",
            "column": "a",
            "encoding": encoding,
            "vocabulary": path,
            "length": length,
        }
    )


def test_multi_hot_is_as_keras_makes_it(vocabulary: Callable[..., Path]) -> None:
    found = transform(text_feature(vocabulary(*WORDS), "multi_hot"), SENTENCES)

    layer = keras.layers.TextVectorization(output_mode="multi_hot", vocabulary=list(WORDS[1:]))
    assert tuple(layer.get_vocabulary()) == WORDS
    np.testing.assert_array_equal(found, np.asarray(layer(tf.constant(SENTENCES))))
    assert found.dtype == np.float32


@pytest.mark.parametrize("length", [1, 2, 3, 8])
def test_ids_are_as_keras_makes_them(vocabulary: Callable[..., Path], length: int) -> None:
    words = ("", *WORDS)

    found = transform(text_feature(vocabulary(*words), "ids", length), SENTENCES)

    layer = keras.layers.TextVectorization(
        output_mode="int", output_sequence_length=length, vocabulary=list(WORDS[1:])
    )
    assert tuple(layer.get_vocabulary()) == words
    np.testing.assert_array_equal(found, np.asarray(layer(tf.constant(SENTENCES))))
    assert found.dtype == np.int64


@pytest.mark.parametrize("sentence", ["GRÜN Äpfel", "ÇA VA", "ЖУК İ"])
def test_letters_beyond_ascii_are_lowered_as_keras_lowers_them(
    vocabulary: Callable[..., Path], sentence: str
) -> None:
    # A model's vocabulary was made by TextVectorization, so its tokens are what Keras leaves.
    layer = keras.layers.TextVectorization(output_mode="multi_hot")
    layer.adapt([sentence])
    words = layer.get_vocabulary()

    found = transform(text_feature(vocabulary(*words), "multi_hot"), [sentence])

    np.testing.assert_array_equal(found, np.asarray(layer(tf.constant([sentence]))))


@pytest.mark.parametrize("text", ["", "   ", "?!"])
def test_empty_text_gives_zeros(vocabulary: Callable[..., Path], text: str) -> None:
    path = vocabulary("", *WORDS)

    multi_hot = transform(text_feature(path, "multi_hot"), [text])
    ids = transform(text_feature(path, "ids", 4), [text])

    np.testing.assert_array_equal(multi_hot, np.zeros((1, len(WORDS) + 1)))
    np.testing.assert_array_equal(ids, np.zeros((1, 4)))


def test_unknown_words_take_the_id_of_unk(vocabulary: Callable[..., Path]) -> None:
    path = vocabulary("[PAD]", "red", "[UNK]", "green")

    ids = transform(text_feature(path, "ids", 4), ["purple red yellow", "green"])
    multi_hot = transform(text_feature(path, "multi_hot"), ["purple red yellow", "green"])

    np.testing.assert_array_equal(ids, [[2, 1, 2, 0], [3, 0, 0, 0]])
    np.testing.assert_array_equal(multi_hot, [[0, 1, 1, 0], [0, 0, 0, 1]])


def test_unknown_words_are_left_out_without_unk(vocabulary: Callable[..., Path]) -> None:
    path = vocabulary("", "red", "green")

    ids = transform(text_feature(path, "ids", 3), ["purple red yellow green", "purple"])
    multi_hot = transform(text_feature(path, "multi_hot"), ["purple red yellow green", "purple"])

    np.testing.assert_array_equal(ids, [[1, 2, 0], [0, 0, 0]])
    np.testing.assert_array_equal(multi_hot, [[0, 1, 1], [0, 0, 0]])


def test_text_may_stay_as_it_is() -> None:
    feature = TextFeature(type="text", column="a", encoding="string")

    found = transform(feature, ["Red, GREEN!", "", "grün"])

    assert found.tolist() == [b"Red, GREEN!", b"", "grün".encode()]


# Classes, numbers and the rest


CLASSES = ("red", "green", "7")


def test_a_class_is_one_hot_in_the_order_of_classes() -> None:
    feature = CategoryFeature(type="category", column="a", classes=CLASSES)

    found = transform(feature, ["7", "red", "green", "red"])

    np.testing.assert_array_equal(found, np.eye(3)[[2, 0, 1, 0]])
    assert found.dtype == np.float32


def test_a_class_may_be_its_index() -> None:
    feature = CategoryFeature(type="category", column="a", classes=CLASSES, encoding="index")

    found = transform(feature, ["7", "red", "green"])

    np.testing.assert_array_equal(found, [2, 0, 1])
    assert found.dtype == np.int64


def test_a_label_of_classes_is_its_index() -> None:
    label = CategoryLabel(type="category", column="a", classes=CLASSES)

    found = transform_label(label, ["green", "7"])

    np.testing.assert_array_equal(found, [1, 2])
    assert found.dtype == np.int64


def test_a_label_of_several_classes_is_multi_hot() -> None:
    label = MultiLabel(type="multi_label", column="a", classes=CLASSES)

    found = transform_label(label, tf.constant([[1, 0, 1], [0, 0, 0]], tf.int64))

    np.testing.assert_array_equal(found, [[1, 0, 1], [0, 0, 0]])
    assert found.dtype == np.float32


def test_a_label_of_a_number_is_a_column() -> None:
    found = transform_label(NumberLabel(type="number", column="a"), [1.5, -2.0])

    np.testing.assert_array_equal(found, [[1.5], [-2.0]])


@pytest.mark.parametrize(
    ("feature", "values"),
    [
        (NumberFeature(type="number", columns=("a", "b")), [[1.0, 2.0], [3.0, 4.0]]),
        (SequenceFeature(type="sequence", column="a", shape=(2, 1)), [[[1.0], [2.0]]]),
        (RawFeature(type="raw", column="a", dtype="int64"), [1, 2]),
        (RawFeature(type="raw", column="a", dtype="string", shape=(2,)), [["a", "b"]]),
    ],
    ids=["number", "sequence", "raw", "raw-strings"],
)
def test_other_features_pass_through(feature: Feature, values: list) -> None:
    found = transform(feature, values)

    np.testing.assert_array_equal(found, tf.constant(values).numpy())


def test_every_feature_has_the_shape_and_dtype_it_promises(
    vocabulary: Callable[..., Path],
) -> None:
    path = vocabulary("", *WORDS)
    given: list[tuple[Feature, list]] = [
        (image_feature(4, 5, 3), [encoded(PIXELS[0])] * 2),
        (text_feature(path, "multi_hot"), ["red", ""]),
        (text_feature(path, "ids", 3), ["red", ""]),
        (TextFeature(type="text", column="a", encoding="string"), ["red", ""]),
        (CategoryFeature(type="category", column="a", classes=CLASSES), ["red", "7"]),
        (
            CategoryFeature(type="category", column="a", classes=CLASSES, encoding="index"),
            ["red", "7"],
        ),
        (NumberFeature(type="number", column="a"), [[1.0], [2.0]]),
    ]

    for feature, values in given:
        found = transform(feature, values)

        assert found.shape == (2, *feature.tensor_shape)
        wanted = object if feature.tensor_dtype == "string" else feature.tensor_dtype
        assert found.dtype == wanted


def test_the_row_id_goes_along() -> None:
    config = transform_config({}, {})

    found = preprocessing_fn({"row_id": tf.constant(["row 1", "row 2"])}, config)

    assert found["row_id"].numpy().tolist() == [b"row 1", b"row 2"]


# What Transform is given


def test_the_config_is_text_only(vocabulary: Callable[..., Path]) -> None:
    config = transform_config(
        {"words": text_feature(vocabulary(*WORDS), "multi_hot")},
        {"y": CategoryLabel(type="category", column="a", classes=CLASSES)},
    )

    assert all(isinstance(value, str) for value in config.values())
    assert json.loads(json.dumps(config)) == config


def test_the_config_changes_with_the_content_of_a_vocabulary(
    vocabulary: Callable[..., Path],
) -> None:
    first = transform_config({"words": text_feature(vocabulary("red"), "multi_hot")}, {})
    again = transform_config({"words": text_feature(vocabulary("red"), "multi_hot")}, {})
    other = transform_config({"words": text_feature(vocabulary("blue"), "multi_hot")}, {})

    assert first == again
    assert first != other


# What is learnt from the rows: a small run of TensorFlow Transform


def analyzed(
    feature: NumberFeature, train: np.ndarray, rows: np.ndarray, folder: Path
) -> np.ndarray:
    """The feature of `rows`, transformed by what TFT learnt from `train`."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from tensorflow_transform.tf_metadata import dataset_metadata

    features: dict[str, Feature] = {"x": feature}
    config = transform_config(features, {})
    metadata = dataset_metadata.DatasetMetadata(implied_schema(features, {}))

    def dicts(values: np.ndarray) -> list[dict[str, Any]]:
        return [{"x": row.tolist(), "row_id": f"row {number}"} for number, row in enumerate(values)]

    found: dict[int, list[float]] = {}
    runner = "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner"
    with (
        tft_beam.Context(temp_dir=str(folder / "tft")),
        beam.Pipeline(options=PipelineOptions([runner])) as pipeline,
    ):
        training = pipeline | "Train" >> beam.Create(dicts(train))
        graph = (training, metadata) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, config)
        )
        given = pipeline | "Rows" >> beam.Create(dicts(rows))
        transformed, _ = ((given, metadata), graph) | tft_beam.TransformDataset()
        (
            transformed
            | beam.Map(lambda row: f"{row['row_id'].decode()} {row['x'].tolist()}")
            | beam.io.WriteToText(str(folder / "rows"))
        )
    for file in folder.glob("rows-*"):
        for line in file.read_text().splitlines():
            _, number, values = line.split(" ", 2)
            found[int(number)] = json.loads(values)
    return np.array([found[number] for number in range(len(rows))])


@pytest.mark.component
def test_standard_numbers_have_the_mean_and_deviation_of_the_training_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    # Columns of very different scales: each is scaled by its own.
    train = random.normal([3.0, -500.0], [0.1, 40.0], (200, 2)).astype(np.float32)
    rows = np.array([[3.0, -500.0], [4.0, 0.0], *train[:3]], np.float32)
    feature = NumberFeature(type="number", columns=("a", "b"), normalize="standard")

    found = analyzed(feature, train, rows, tmp_path)

    wanted = (rows - train.mean(axis=0, dtype=np.float64)) / train.std(axis=0, dtype=np.float64)
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.component
def test_min_max_numbers_lie_between_0_and_1_in_the_training_rows(tmp_path: Path) -> None:
    random = np.random.default_rng(2)
    train = random.uniform([0.0, -9.0], [1000.0, -3.0], (200, 2)).astype(np.float32)
    rows = np.array([train.min(axis=0), train.max(axis=0), [2000.0, -6.0]], np.float32)
    feature = NumberFeature(type="number", columns=("a", "b"), normalize="min_max")

    found = analyzed(feature, train, rows, tmp_path)

    low, high = train.min(axis=0).astype(np.float64), train.max(axis=0)
    np.testing.assert_allclose(found, (rows - low) / (high - low), rtol=1e-5, atol=1e-6)


@pytest.mark.component
@pytest.mark.parametrize("normalize", ["standard", "min_max"])
def test_a_column_that_never_changes_stays_finite(tmp_path: Path, normalize: str) -> None:
    feature = NumberFeature.model_validate(
        {"type": "number", "column": "a", "normalize": normalize}
    )
    train = np.full((20, 1), 7.0, np.float32)

    found = analyzed(feature, train, train[:2], tmp_path)

    assert np.isfinite(found).all()
