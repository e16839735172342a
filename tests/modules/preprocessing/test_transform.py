"""From a tf.Example to the inputs of the fused model: text and classes, against Keras."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from transformed import transform, transform_label

from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config
from tfx_fusion.modules.spec import (
    CategoryFeature,
    CategoryLabel,
    Feature,
    ImageFeature,
    MultiLabel,
    NumberFeature,
    NumberLabel,
    RawFeature,
    SequenceFeature,
    TextFeature,
)

PIXELS = np.random.default_rng(1).integers(0, 256, (3, 9, 7, 3)).astype(np.uint8)
WORDS = ("[UNK]", "red", "green", "grün", "very", "its", "日本")


def encoded(pixels: np.ndarray, mode: str = "RGB", format_name: str = "PNG") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(stream, format_name)
    return stream.getvalue()


def image_feature(*shape: int, low: float = 0.0, high: float = 1.0) -> ImageFeature:
    return ImageFeature.model_validate(
        {"type": "image", "column": "a", "shape": shape, "range": (low, high)}
    )


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


def test_multi_hot_takes_memory_by_rows_and_words_not_by_tokens(
    vocabulary: Callable[..., Path],
) -> None:
    words = [f"w{number}" for number in range(2000)]
    feature = text_feature(vocabulary("[UNK]", *words), "multi_hot")
    config = transform_config({"x": feature}, {})
    text = tf.TensorSpec((None,), tf.string)
    traced = tf.function(
        lambda raw: preprocessing_fn({"x": raw, "row_id": raw}, config)["x"], autograph=False
    ).get_concrete_function(text)

    # Nothing in the graph has an axis for tokens beside one for words.
    shapes = [output.shape for op in traced.graph.get_operations() for output in op.outputs]
    assert max(shape.rank or 0 for shape in shapes) == 2
    random = np.random.default_rng(3).integers(0, 2000, (4, 300))
    found = traced(tf.constant([" ".join(words[n] for n in row) for row in random])).numpy()
    expected = np.zeros((4, 2001), np.float32)
    np.put_along_axis(expected, random + 1, 1.0, axis=1)
    np.testing.assert_array_equal(found, expected)


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
