"""The ways to train a head that are compared, each run in a process of its own.

Every one starts from saved models and rows and ends with a trained head; the time counts from when
everything is imported. Run as `python -m benchmarks.embed_modes MODE FILE`, where FILE lists the
folders; prints one line of JSON.
"""

import json
import logging
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import apache_beam as beam  # first: see tests/conftest.py
import keras
import numpy as np
import tensorflow as tf

from tfx_fusion.modules.data.file_list import example_files
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import plan_stages
from tfx_fusion.modules.embedding.write import collect, write_embeddings
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import load_specification
from tfx_fusion.modules.submodels.interface import Interface
from tfx_fusion.modules.submodels.layer import opener
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.train import seed_everything, train

RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
SPLITS = ("train", "eval")


class _Clock(logging.Handler):
    """Seconds since the start at the end of each epoch."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.started, self.cpu = time.monotonic(), time.process_time()
        self.epochs: list[float] = []

    def emit(self, record: logging.LogRecord) -> None:
        if "epoch" in str(record.msg):
            self.epochs.append(self.seconds())

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def cpu_seconds(self) -> float:
        return time.process_time() - self.cpu


class World:
    """The outputs of the steps before training, and the specification."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.specification = load_specification(Path(content["specification"]))
        self.examples = {split: f"{content['examples']}/Split-{split}" for split in SPLITS}
        self.transform_path = f"{content['transform_graph']}/transform_fn"
        self.submodels = {name: Path(folder) for name, folder in content["submodels"].items()}
        self.interfaces = {
            name: Interface.model_validate(text) for name, text in content["interfaces"].items()
        }
        self.work = Path(content["work"])

    def transform(self) -> TransformGraph:
        specification = self.specification
        return TransformGraph(self.transform_path, specification.features, specification.labels)

    def arrays(self, split: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """All rows of a split decoded, as arrays in memory."""
        transform = self.transform()
        batches = [
            transform.parse(rows)
            for rows in tf.data.TFRecordDataset(example_files(self.examples[split])).batch(256)
        ]
        together = {name: np.concatenate([b[name] for b in batches]) for name in batches[0]}
        return {name: together[name] for name in ("image", "words")}, together["digit"]


def embed(world: World, clock: _Clock) -> dict[str, Any]:
    """EmbeddingGen's work only."""
    training = world.specification.training.changed(embed_once=True)
    specification = world.specification.changed(training=training)
    stages = plan_stages(specification, build(specification, world.interfaces, open_interface))
    plan = stages[0].plan
    if plan is None:
        raise RuntimeError(f"nothing is embedded: {stages[0]}")
    make = partial(Embedder, plan, world.interfaces, world.submodels, world.transform_path)
    folder = str(world.work / f"embeddings_{os.getpid()}")
    wanted = {split: f"{folder}/Split-{split}" for split in SPLITS}
    with beam.Pipeline(runner=RUNNER) as pipeline:
        write_embeddings(pipeline, make, world.examples, wanted, f"{folder}/shards")
    contents = collect(plan, f"{folder}/shards", folder)
    return {
        "embed_seconds": clock.seconds(),
        "embed_cpu_seconds": clock.cpu_seconds(),
        "bytes_per_row": contents.bytes_per_row,
        "stages": stages,
        "folder": folder,
    }


def embed_once(world: World, clock: _Clock) -> dict[str, Any]:
    """EmbeddingGen, then our trainer on its rows."""
    made = embed(world, clock)
    found = _train(world, made.pop("stages"), [made.pop("folder")])
    return {**made, **found}


def live(world: World, clock: _Clock) -> dict[str, Any]:
    """Our trainer on raw data: decoded and embedded anew in every epoch."""
    specification = world.specification
    fused = build(specification, world.interfaces, open_interface)
    return _train(world, plan_stages(specification, fused), [])


def _train(world: World, stages: Any, embeddings: list[str]) -> dict[str, Any]:
    specification = world.specification
    seed_everything(specification.training.seed)
    fused = build(specification, world.interfaces, opener(specification, world.submodels))
    raw = partial(_raw, world)
    sources = StageDataSource(specification, fused, stages, EmbeddedStore(stages, embeddings), raw)
    history = train(specification, world.interfaces, fused, sources.of_stage)
    head = [layer for made in fused.layers.values() for layer in made]
    return {
        "losses": [epoch["loss"] for epoch in history.stages[0].epochs],
        "head": [np.ravel(weight).tolist() for layer in head for weight in layer.get_weights()],
    }


def _raw(world: World, split: str) -> RawRows:
    return RawRows(world.specification, world.transform(), world.examples[split])


def _plain_parts(world: World) -> tuple[keras.Model, Any]:
    """The pretrained models as one would load them by hand."""
    vision = keras.saving.load_model(
        world.submodels["vision"] / "Format-Serving/model.keras", compile=False
    )
    vision.trainable = False
    text = keras.layers.TFSMLayer(
        world.submodels["text"] / "model", call_endpoint="serving_default", trainable=False
    )
    return vision, text


def _plain_head(features: Any) -> Any:
    hidden = keras.layers.Dense(64, activation="relu")(features)
    return keras.layers.Dense(10, activation="softmax")(hidden)


def keras_fit(world: World, clock: _Clock) -> dict[str, Any]:
    """Plain Keras: `fit` of the frozen fused model on arrays decoded beforehand, all in memory."""
    data, evaluation = world.arrays("train"), world.arrays("eval")
    clock.started = time.monotonic()
    vision, text = _plain_parts(world)
    inputs = {
        "image": keras.Input(data[0]["image"].shape[1:], name="image"),
        "words": keras.Input(data[0]["words"].shape[1:], name="words"),
    }
    features = [vision(inputs["image"], training=False), text(inputs["words"])["features"]]
    model = keras.Model(inputs, _plain_head(keras.layers.Concatenate()(features)))
    _fit(world, model, data, evaluation, clock)
    return {}


def lower_bound(world: World, clock: _Clock) -> dict[str, Any]:
    """One `predict` of the pretrained models on arrays in memory, then the head on arrays."""
    clock.cpu = time.process_time()
    data, evaluation = world.arrays("train"), world.arrays("eval")
    decode_cpu = clock.cpu_seconds()
    clock.started, clock.cpu = time.monotonic(), time.process_time()
    vision, text = _plain_parts(world)

    def features(rows: dict[str, np.ndarray]) -> np.ndarray:
        images = vision.predict(rows["image"], batch_size=64, verbose=0)
        words = np.asarray(text(rows["words"])["features"])
        return np.concatenate([images, words], axis=1)

    train, rest = features(data[0]), features(evaluation[0])
    predict_seconds, predict_cpu = clock.seconds(), clock.cpu_seconds()
    given = keras.Input(train.shape[1:])
    model = keras.Model(given, _plain_head(given))
    _fit(world, model, (train, data[1]), (rest, evaluation[1]), clock)
    return {
        "decode_cpu_seconds": decode_cpu,
        "predict_seconds": predict_seconds,
        "predict_cpu_seconds": predict_cpu,
    }


def _fit(world: World, model: keras.Model, data: Any, evaluation: Any, clock: _Clock) -> None:
    training = world.specification.training
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    log_epoch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: clock.epochs.append(clock.seconds())
    )
    model.fit(
        *data, validation_data=evaluation, batch_size=training.batch_size, verbose=0,
        epochs=training.stages[0].epochs, callbacks=[log_epoch],
    )  # fmt: skip


MODES = {
    "keras fit": keras_fit,
    "live": live,
    "embed once": embed_once,
    "lower bound": lower_bound,
    "embed": embed,
}


def main() -> None:
    mode, file = sys.argv[1:]
    world = World(json.loads(Path(file).read_text()))
    progress = logging.getLogger("fusion.progress")
    progress.setLevel(logging.INFO)
    clock = _Clock()
    progress.addHandler(clock)
    found = MODES[mode](world, clock)
    found.pop("stages", None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({**found, "epochs": clock.epochs, "peak_bytes": peak}))


if __name__ == "__main__":
    main()
