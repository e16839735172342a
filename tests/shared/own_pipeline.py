"""The example `own_pipeline`, run once: its artifacts are what TFX's own components make."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tensorflow as tf
from made_examples import made
from made_once import once

SPLITS = {"train": "training", "eval": "validation"}
NAMES = {"days": "days_xf", "spent": "spent_xf"}


@dataclass(frozen=True)
class OwnPipeline:
    """The folder of the example after a run of `train.py`."""

    folder: Path

    def artifact(self, step: str, key: str) -> Path:
        """The folder of an output of a step."""
        [found] = (self.folder / "runs" / "artifacts" / step / key).iterdir()
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
        [found] = (self.folder / "runs" / "serving").iterdir()
        return found

    def records(self, split: str) -> list[bytes]:
        """The tf.Examples of a split, as the ExampleGen wrote them."""
        files = sorted(str(file) for file in (self.examples / f"Split-{split}").iterdir())
        return list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())


def ran(shared_folder: Path) -> OwnPipeline:
    """The example after a run; made once, read only."""

    def make(folder: Path) -> None:
        shutil.copytree(made("own_pipeline"), folder, ignore=shutil.ignore_patterns("runs"))
        command = [sys.executable, str(folder / "train.py")]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]

    return OwnPipeline(once(shared_folder / "own_pipeline", make))


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
