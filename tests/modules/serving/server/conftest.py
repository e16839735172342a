"""A tiny model with the signatures of a published one, and a real server on free ports."""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

from tfx_fusion.modules.serving.server.server import ModelServer, Settings

CLASSES = [b"red", b"green"]


def save_tiny(path: Path, factor: float = 1.0) -> None:
    """A version whose total is `factor` times the mean brightness plus the length of the words."""
    module = tf.Module()
    module.factor = tf.Variable(factor)
    strings = tf.TensorSpec((None,), tf.string)

    @tf.function(
        input_signature=[{"image": tf.TensorSpec((None,), tf.string, "image"),
                          "words": tf.TensorSpec((None,), tf.string, "words")}],
        autograph=False,
    )  # fmt: skip
    def serving_default(inputs: Any) -> dict[str, Any]:
        def bright(image: Any) -> Any:
            pixels = tf.io.decode_image(image, channels=3, expand_animations=False)
            return tf.reduce_mean(tf.cast(pixels, tf.float32))

        found = tf.map_fn(bright, inputs["image"], fn_output_signature=tf.float32)
        length = tf.cast(tf.strings.length(inputs["words"]), tf.float32)
        total = module.factor * found + length
        chance = tf.sigmoid(total / 100.0)
        return {
            "total": total[:, None],
            "colour_probabilities": tf.stack([chance, 1.0 - chance], axis=1),
            "colour_classes": tf.tile(tf.constant([CLASSES]), [tf.shape(total)[0], 1]),
        }

    def numbers(examples: Any) -> Any:
        return tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature((), tf.float32)})["x"]

    @tf.function(input_signature=[strings], autograph=False)
    def classify(inputs: Any) -> dict[str, Any]:
        scores = tf.stack([numbers(inputs), -numbers(inputs)], axis=1)
        return {
            "scores": scores,
            "classes": tf.tile(tf.constant([CLASSES]), [tf.shape(scores)[0], 1]),
        }

    @tf.function(input_signature=[strings], autograph=False)
    def regress(inputs: Any) -> dict[str, Any]:
        return {"outputs": 2.0 * numbers(inputs)[:, None]}

    @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, "x")], autograph=False)
    def halve(x: Any) -> dict[str, Any]:
        return {"half": x / 2.0}

    @tf.function(input_signature=[tf.TensorSpec((2,), tf.int64, "x")], autograph=False)
    def add(x: Any) -> dict[str, Any]:
        return {"sum": tf.reduce_sum(x), "mirror_bytes": tf.constant([b"\xff\x00"])}

    @tf.function(input_signature=[tf.TensorSpec((), tf.int64, "turns")], autograph=False)
    def slow(turns: Any) -> dict[str, Any]:
        def turn(count: Any, matrix: Any) -> Any:
            return count + 1, matrix @ matrix

        start = tf.constant(0, tf.int64), tf.eye(300)
        count, _ = tf.while_loop(lambda count, _: count < turns, turn, start)
        return {"turns": count}

    signatures = {
        "serving_default": serving_default, "classify": classify, "regress": regress,
        "halve": halve, "add": add, "slow": slow,
    }  # fmt: skip
    tf.saved_model.save(module, str(path), signatures=signatures)


class Running:
    """A server on an event loop in a thread of its own, with real clients."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.name = "tiny"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self.server = ModelServer(Settings("tiny", folder, **settings))
        try:
            ports = self._do(self.server.start())
        except BaseException:
            self._end()
            raise
        self.grpc, self.rest = f"127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}"
        self.channel = grpc.insecure_channel(self.grpc)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    @property
    def url(self) -> str:
        return f"{self.rest}/v1/models/{self.name}"

    def _do(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)

    def stop(self) -> None:
        if not self._thread.is_alive():
            return
        self._do(self.server.stop())
        self.channel.close()
        self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A publish folder with version 3 of the tiny model; read only."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny(folder / "3")
    return folder


@pytest.fixture(scope="session")
def running(tiny: Path) -> Iterator[Running]:
    """A server of the tiny model."""
    server = Running(tiny)
    yield server
    server.stop()


@pytest.fixture
def serve() -> Iterator[Callable[[Path], Running]]:
    """Starts servers that end with the test."""
    started: list[Running] = []

    def start(folder: Path, **settings: Any) -> Running:
        started.append(Running(folder, **settings))
        return started[-1]

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="session")
def oracle(tiny: Path) -> Callable[..., dict[str, np.ndarray]]:
    """The same version, asked in this process through its signature."""
    loaded = tf.saved_model.load(str(tiny / "3"))

    def ask(signature: str = "serving_default", **inputs: Any) -> dict[str, np.ndarray]:
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {n: t.numpy() for n, t in loaded.signatures[signature](**tensors).items()}

    return ask


@pytest.fixture(scope="session")
def picture() -> Callable[[int], bytes]:
    """A small PNG, another one for each number."""

    def make(number: int) -> bytes:
        pixels = np.random.default_rng(number).integers(0, 256, (4, 5, 3)).astype(np.uint8)
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG")
        return stream.getvalue()

    return make
