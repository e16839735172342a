"""The example `own_pipeline`, run once: its artifacts are what TFX's own components make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from made_examples import made
from made_once import once

SPLITS = {"train": "training", "eval": "validation"}
NAMES = {"days": "days_xf", "spent": "spent_xf"}


# In one process, since TFX takes long to import.
COMPILE_AND_RUN = """
import importlib
import runpy
import sys
from pathlib import Path

sys.path.insert(0, ".")
_, name, runs = sys.argv
pipeline = importlib.import_module(name)
from tfx.orchestration.kubeflow.v2 import kubeflow_v2_dag_runner as kubeflow

config = kubeflow.KubeflowV2DagRunnerConfig(default_image="image")
runner = kubeflow.KubeflowV2DagRunner(config, output_filename="compiled.json")
runner.run(pipeline.create_pipeline(Path(runs).resolve()))
runpy.run_path(f"{name}.py", run_name="__main__")
"""


@dataclass(frozen=True)
class OwnPipeline:
    """The folder of the example after a run of a pipeline, with `compiled.json` for Kubeflow."""

    folder: Path
    runs: str = "runs"

    def artifact(self, step: str, key: str) -> Path:
        """The folder of an output of a step."""
        [found] = (self.folder / self.runs / "artifacts" / step / key).iterdir()
        return found

    @property
    def examples(self) -> Path:
        return self.artifact("CsvExampleGen", "examples")

    @property
    def transform_graph(self) -> Path:
        return self.artifact("Transform", "transform_graph")

    @property
    def published(self) -> Path:
        """The only version that was published."""
        [found] = (self.folder / self.runs / "serving").glob("[0-9]*")
        return found

    def records(self, split: str) -> list[bytes]:
        """The tf.Examples of a split, as the ExampleGen wrote them."""
        files = sorted(str(file) for file in (self.examples / f"Split-{split}").iterdir())
        return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def ran(shared_folder: Path, name: str = "train", runs: str = "runs") -> OwnPipeline:
    """The example after a run of one of its pipelines; made once, read only."""

    def make(folder: Path) -> None:
        shutil.copytree(made("own_pipeline"), folder, ignore=shutil.ignore_patterns("runs"))
        command = [sys.executable, "-c", COMPILE_AND_RUN, name, runs]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return OwnPipeline(once(shared_folder / f"own_pipeline_{name}", make), runs)


def by_hand(own: OwnPipeline, rows: list[dict[str, list[Any]]], head: dict[str, Any]) -> np.ndarray:
    """The probabilities `(rows, 2)`: scaled by NumPy, fused and predicted by plain Keras."""
    import keras

    trained = [columns(record) for record in own.records(SPLITS["train"])]

    def days(given: list[dict[str, list[Any]]]) -> np.ndarray:
        return np.array([row["days"] for row in given], np.float64)

    def spent(given: list[dict[str, list[Any]]]) -> np.ndarray:
        return np.log1p([row.get("spent") or [0.0] for row in given])

    def scaled(of: Any) -> np.ndarray:
        known = of(trained)
        return ((of(rows) - known.mean()) / known.std()).astype("float32")

    account = keras.saving.load_model(own.folder / "models" / "account.keras")
    features = keras.Model(account.input, account.get_layer("features").output)
    visits = np.array([row["visits"] for row in rows], np.float32)
    read = tf.saved_model.load(str(own.folder / "models" / "letters")).signatures["serving_default"]
    texts = tf.constant([row["letter"][0] for row in rows])
    joined = np.concatenate(
        [features({"days": scaled(days), "visits": visits}), read(text=texts)["features"],
         scaled(spent)],
        axis=1,
    )  # fmt: skip
    hidden = np.maximum(joined @ head["hidden/kernel"] + head["hidden/bias"], 0)
    return tf.nn.softmax(hidden @ head["scores/kernel"] + head["scores/bias"]).numpy()


def columns(record: bytes) -> dict[str, list[Any]]:
    """The values of a tf.Example by column."""
    features = tf.train.Example.FromString(record).features.feature
    return {
        name: list(getattr(feature, feature.WhichOneof("kind")).value)
        if feature.WhichOneof("kind")
        else []
        for name, feature in features.items()
    }


def record_of(values: dict[str, list[Any]]) -> bytes:
    """A tf.Example of columns."""
    found = tf.train.Example()
    for name, given in values.items():
        feature = found.features.feature[name]
        first = given[0] if given else 0.0
        kind = {bytes: "bytes_list", int: "int64_list"}.get(type(first), "float_list")
        getattr(feature, kind).value.extend(given)
    return found.SerializeToString()
