"""Training and its export on the real Transform graph, for tests of both."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from tfx_fusion.modules.embedding.plan import StagePlan
from tfx_fusion.modules.graph.build import build
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.spec import Specification, Training
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.submodels.layer import SubmodelLayer
from tfx_fusion.modules.training.checkpoint import Checkpoint
from tfx_fusion.modules.training.data import RawRows
from tfx_fusion.modules.training.export import export
from tfx_fusion.modules.training.record import TrainingRecord
from tfx_fusion.modules.training.run import fuse_and_train
from tfx_fusion.modules.training.stage_data import EmbeddedStore, StageDataSource
from tfx_fusion.modules.training.train import train

RAW = StagePlan(plan=None)
WORDS = ["[UNK]", "red", "green", "blue", "very", "rather"]


@dataclass(frozen=True)
class Trained:
    """What a run left behind."""

    folder: Path
    history: TrainingRecord

    @property
    def model(self) -> Path:
        return self.folder / "model" / "Format-Serving"

    @property
    def record(self) -> Path:
        return self.folder / "record"

    def signature(self, name: str = "serving_default") -> Callable[..., dict[str, Any]]:
        loaded = tf.saved_model.load(str(self.model))
        function = loaded.signatures[name]
        # A signature does not keep the model it belongs to alive.
        function.loaded = loaded
        return function


def run(specification: Specification, inputs: Any, folder: Path) -> Trained:
    """Imports the sub-models and trains; `inputs` are the `TrainingInputs` of conftest."""
    paths = {name: path for name, (_, path) in specification.imported().items()}
    copies = {name: folder / "submodels" / name for name in paths}
    for name, path in paths.items():
        copy_submodel(path, copies[name])
    history = fuse_and_train(
        specification,
        interfaces={name: inspect_submodel(path).interface for name, path in paths.items()},
        submodels=copies,
        submodel_digests=dict.fromkeys(paths, ""),
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=[RAW for _ in specification.training.stages],
        embeddings=[],
        model_path=folder / "model" / "Format-Serving",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )
    return Trained(folder, history)


def with_training(specification: Specification, **changes: Any) -> Specification:
    """The specification with other values for its training."""
    training = {**specification.training.model_dump(by_alias=True), **changes}
    return specification.model_copy(update={"training": Training.model_validate(training)})


def one_stage(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "head", "epochs": 1, "learning_rate": 0.01, **changes}]


@dataclass(frozen=True)
class ClientRows:
    """Rows of the shared world as a client of the served model has them."""

    images: list[bytes]
    words: list[bytes]
    classes: list[int]

    def request(self) -> dict[str, tf.Tensor]:
        return {"image": tf.constant(self.images), "words": tf.constant(self.words)}


def head_weights(trained: Trained) -> dict[str, np.ndarray]:
    """The weights of the new layers in the exported model, by name."""
    loaded = tf.saved_model.load(str(trained.model))
    found = {variable.name.split(":")[0]: variable.numpy() for variable in loaded.others}
    return {
        name: found[name]
        for name in ("hidden/kernel", "hidden/bias", "scores/kernel", "scores/bias")
    }


def pixels_of(image: bytes, folder: Path) -> np.ndarray:
    file = folder / "image.png"
    file.write_bytes(image)
    return np.asarray(Image.open(file).convert("RGB"), "float32") / 255


def multi_hot(words: bytes) -> np.ndarray:
    tokens = words.decode().lower().replace(",", "").replace("!", "").split()
    ids = [WORDS.index(token) if token in WORDS else 0 for token in tokens]
    return np.bincount(ids, minlength=len(WORDS)).clip(max=1).astype("float32")


def predicted_by_hand(trained: Trained, raw: ClientRows, world: Path, folder: Path) -> np.ndarray:
    vision = keras.saving.load_model(world / "models" / "vision.keras")
    vision = keras.Model(vision.input, vision.get_layer("features").output)
    text = tf.saved_model.load(str(world / "models" / "text"))
    images = np.stack([pixels_of(image, folder) for image in raw.images])
    tokens = np.stack([multi_hot(words) for words in raw.words])
    said = text.signatures["serving_default"](tokens=tf.constant(tokens))["features"]
    joined = np.concatenate([vision(images, training=False), said], axis=1)
    head = head_weights(trained)
    hidden = np.maximum(joined @ head["hidden/kernel"] + head["hidden/bias"], 0)
    scores = hidden @ head["scores/kernel"] + head["scores/bias"]
    exponents = np.exp(scores - scores.max(axis=1, keepdims=True))
    return exponents / exponents.sum(axis=1, keepdims=True)


def sha256(value: Any) -> str:
    array = np.asarray(value)
    return hashlib.sha256(f"{array.dtype} {array.shape} ".encode() + array.tobytes()).hexdigest()


class Assembled:
    """The parts of a run, to step in between them."""

    def __init__(self, specification: Specification, inputs: Any) -> None:
        paths = {name: path for name, (_, path) in specification.imported().items()}
        self.specification = specification
        self.interfaces = {name: inspect_submodel(path).interface for name, path in paths.items()}
        self.fused = build(
            specification,
            self.interfaces,
            lambda name, _, taps: SubmodelLayer(paths[name], taps, None, name),
        )
        self.transform = TransformGraph(
            str(inputs.transform_graph / "transform_fn"),
            specification.features,
            specification.labels,
        )
        stages = [RAW for _ in specification.training.stages]
        sources = StageDataSource(
            specification,
            self.fused,
            stages,
            EmbeddedStore(stages, []),
            lambda split: RawRows(specification, self.transform, str(inputs.splits[split])),
        )
        self.data = sources.of_stage(0)

    def train(self) -> TrainingRecord:
        return train(self.specification, self.interfaces, self.fused, lambda _: self.data)

    def export(self, history: TrainingRecord, path: Path) -> None:
        export(self.specification, self.fused, self.transform, history.frozen, {}, path)

    def move(self, submodel: str, tensor: str) -> str:
        """Moves one number of a frozen tensor by one bit; returns the tensor's name."""
        variables = self.fused.submodels[submodel].frozen_variables()
        [name] = [name for name in variables if name.endswith(tensor)]
        value = np.asarray(variables[name])
        value.flat[0] = np.nextafter(value.flat[0], np.float32(9))
        variables[name].assign(value)
        return name
