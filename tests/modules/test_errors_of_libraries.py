"""The cause of a library's error in one line: real errors of TensorFlow, Keras and Beam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import apache_beam as beam
import keras
import numpy as np
import pytest
import tensorflow as tf

from tfx_fusion.modules.errors import library_cause

ROWS = np.ones((4, 3), "float32")


def fitted(model: keras.Model, rows: Any = ROWS, labels: Any = ROWS, loss: str = "mse") -> None:
    model.compile("sgd", loss)
    model.fit(rows, labels, verbose=0)


@keras.saving.register_keras_serializable(package="test_errors")
class Odd(keras.layers.Layer):
    """A layer that fails in a way of its own."""

    def __init__(self, fail: Callable[[Any], Any]) -> None:
        super().__init__(name="odd")
        self.fail = fail

    def call(self, given: Any) -> Any:
        return self.fail(given)


class Calling(keras.Model):
    """A model with a `call` of its own, so that a layer fails when it runs, not before."""

    def __init__(self, fail: Callable[[Any], Any]) -> None:
        super().__init__()
        self.odd = Odd(fail)

    def call(self, given: Any) -> Any:
        return self.odd(given)


def unknown_token() -> None:
    entry = keras.Input((3,), dtype="int64")
    words = keras.layers.Embedding(2, 2, name="words")(entry)
    fitted(keras.Model(entry, words), ROWS * 7, np.ones((4, 3, 2)))


def unequal_shapes() -> None:
    traced = tf.function(lambda a, b: a + b)
    spec = tf.TensorSpec((None,), tf.float32)
    traced.get_concrete_function(spec, spec)(tf.ones(3), tf.ones(4))


def two_roots() -> None:
    traced = tf.function(lambda a, b: (a + b, a * b))
    spec = tf.TensorSpec((None,), tf.float32)
    traced.get_concrete_function(spec, spec)(tf.ones(3), tf.ones(4))


def other_units() -> None:
    fitted(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="scores")]))


def unknown_class() -> None:
    # As training does, which also may have run before in this process: the error is another one.
    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, "softmax")])
    fitted(model, labels=np.full((4,), 5), loss="sparse_categorical_crossentropy")


def not_a_number() -> None:
    fitted(Calling(lambda given: tf.debugging.check_numerics(given / 0 - given / 0, "odd values")))


def wrong_reshape() -> None:
    fitted(Calling(lambda given: tf.reshape(given, (-1, 7))), labels=np.ones((4, 7)))


def own_mistake() -> None:
    fitted(Calling(lambda given: given.nothing))


def missing_column() -> None:
    row = tf.train.Example().SerializeToString()
    tf.io.parse_example([row], {"age": tf.io.FixedLenFeature((), tf.float32)})


def damaged_picture() -> None:
    list(tf.data.Dataset.from_tensor_slices([b"abc"]).map(tf.io.decode_png))


def bad_row() -> None:
    def fail(value: Any) -> Any:
        raise ValueError("row 17 is odd")

    list(tf.data.Dataset.range(3).map(lambda value: tf.numpy_function(fail, [value], tf.int64)))


def out_of_memory() -> None:
    tf.zeros((10**6, 10**7))


def on_beam(error: Exception) -> Callable[[], None]:
    def fail(item: Any) -> Any:
        raise error

    def run() -> None:
        with beam.Pipeline(runner="DirectRunner") as pipeline:
            _ = pipeline | beam.Create([1]) | "Embed" >> beam.Map(fail)

    return run


SHAPES = tf.errors.InvalidArgumentError(None, None, "Incompatible shapes: [64] vs. [64,24]")


@pytest.mark.parametrize(
    ("fail", "kind", "parts"),
    [
        (unknown_token, "InvalidArgumentError", ["7 is not in [0, 2) (node ", "words"]),
        (unequal_shapes, "InvalidArgumentError", ["Incompatible shapes: [3] vs. [4] (node add)"]),
        (two_roots, "InvalidArgumentError", ["Incompatible shapes: [3] vs. [4] (node "]),
        (other_units, "ValueError", ["Dimensions must be equal, but are 3 and 2", "/scores"]),
        (unknown_class, "InvalidArgumentError", ["] = 5 is not in [0, 2)"]),
        (
            not_a_number,
            "InvalidArgumentError",
            ["odd values : Tensor had NaN values (node ", "odd"],
        ),
        (wrong_reshape, "InvalidArgumentError", ["requires a multiple of 7 (node ", "odd"]),
        (own_mistake, "AttributeError", ["has no attribute 'nothing' (layer Odd)"]),
        (missing_column, "InvalidArgumentError", ["Feature: age (data type: float) is required"]),
        (damaged_picture, "InvalidArgumentError", ["Unknown image file format", "DecodePng"]),
        (bad_row, "ValueError", ["row 17 is odd"]),
        (out_of_memory, "ResourceExhaustedError", ["OOM when allocating tensor with shape"]),
        (on_beam(SHAPES), "InvalidArgumentError", ["[64] vs. [64,24] (step Embed)"]),
        (on_beam(KeyError("steps")), "KeyError", ["steps", "(step Embed)"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_the_cause_of_a_librarys_error_is_one_line(
    fail: Callable[[], None], kind: str, parts: list[str]
) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 the test is of any type
        fail()
    cause = library_cause(caught.value)

    assert cause.startswith(f"{kind}: ")
    assert [part for part in parts if part not in cause] == []
    assert "\n" not in cause
    for noise in ("Graph execution error", "Traceback", "Detected at", "{{", "[Op:", 'File "'):
        assert noise not in cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (KeyError("steps"), "KeyError: no key 'steps'"),
        (ValueError(), "ValueError, without a message"),
        (OSError("first line\nsecond\n\na long explanation"), "OSError: first line second"),
        (RuntimeError("Graph execution error:\n"), "RuntimeError, without a message"),
        (
            TypeError("in user code:\n\n    File \"a.py\", line 3\n        f(x)\n\n"
                      "    ValueError: shapes differ"),
            "TypeError: ValueError: shapes differ",
        ),
        (
            RuntimeError("Traceback (most recent call last):\n  File \"a.py\", line 3, in f\n"
                         "    f(x)\nmodule.OddError: it is odd [while running 'Write-ptransform-3']"
                         "\n\nDuring handling of the above exception, another occurred"),
            "OddError: it is odd (step Write)",
        ),
        (
            ValueError("Exception encountered when calling Odd.call().\n\n\x1b[1mit is odd\x1b[0m\n"
                       "\nArguments received by Odd.call():\n  • x=3"),
            "ValueError: it is odd (layer Odd)",
        ),
        (OSError("x" * 900), f"OSError: {'x' * 599}…"),
    ],
)  # fmt: skip
def test_what_frameworks_write_around_a_cause_is_removed(error: Exception, cause: str) -> None:
    assert library_cause(error) == cause


def test_an_error_without_a_text_has_the_cause_of_the_one_behind_it() -> None:
    error = RuntimeError("Graph execution error:")
    error.__cause__ = OSError("the disk is full")

    assert library_cause(error) == "OSError: the disk is full"
