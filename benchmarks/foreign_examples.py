"""What embedding and training cost behind another ExampleGen and Transform, against the own ones.

The same rows and the same computation: plain records with ids and the project's own Transform
graph, and compressed records without ids, columns `(batch, 1)` and other names, as a CsvExampleGen
and somebody's `preprocessing_fn` give them.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import keras
import numpy as np
import tensorflow as tf
from rich.console import Console

from benchmarks.figures import HELP, json_option, side_by_side, write_figures
from benchmarks.timing import interleaved
from tfx_fusion.modules.embedding.embedder import Embedder
from tfx_fusion.modules.embedding.plan import plan_stages
from tfx_fusion.modules.graph.build import build, open_interface
from tfx_fusion.modules.preprocessing.graph import TransformGraph
from tfx_fusion.modules.preprocessing.transform import (
    decode_images,
    preprocessing_fn,
    transform_config,
)
from tfx_fusion.modules.spec import ImageFeature, Specification
from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
from tfx_fusion.modules.training.data import RawRows, training_rows

SIDE = 64
NAMES = {"image": "pixels", "size": "how_large"}
FILE = "Split-train/data_tfrecord-00000-of-00001"
Graph = Callable[[dict[str, Any]], dict[str, Any]]
Shape = tuple[int, ...]


def fused(folder: Path) -> Specification:
    """A frozen image network with a new head."""
    image = keras.Input((SIDE, SIDE, 3), name="image")
    tensor = keras.layers.Conv2D(16, 3, 2, activation="relu")(image)
    tensor = keras.layers.Conv2D(32, 3, 2, activation="relu")(tensor)
    features = keras.layers.GlobalAveragePooling2D(name="features")(tensor)
    path = folder / "vision.keras"
    keras.Model(image, features).save(path)
    return Specification.model_validate({
        "name": "foreign",
        "data": {"path": "rows.csv", "split": {"by": "id", "train": 0.5, "eval": 0.5}},
        "features": {"image": {"type": "image", "column": "photo", "shape": [SIDE, SIDE, 3]}},
        "labels": {"size": {"type": "number", "column": "size"}},
        "submodels": {"vision": {"path": str(path), "inputs": {"image": "image"}}},
        "graph": {"guess": {"layers": [{"Dense": {"units": 1}}], "inputs": "vision"}},
        "outputs": {"size": {"from": "guess", "loss": "mean_squared_error"}},
        "training": {"stages": [{"name": "head", "epochs": 1, "learning_rate": 0.1}]},
        "publish": {"path": "serving"},
    })  # fmt: skip


def write_rows(folder: Path, rows: int) -> None:
    """The same pictures as plain records with ids, and compressed without."""
    random = np.random.default_rng(3)
    for name in ("own", "foreign"):
        (folder / name / "Split-train").mkdir(parents=True)
    with (
        tf.io.TFRecordWriter(str(folder / "own" / FILE)) as own,
        tf.io.TFRecordWriter(str(folder / "foreign" / f"{FILE}.gz"), "GZIP") as foreign,
    ):
        for row in range(rows):
            pixels = random.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            picture = tf.io.encode_jpeg(pixels).numpy()
            own.write(_example(row, image=picture, row_id=b"row %d" % row))
            foreign.write(_example(row, photo=picture))


def _example(size: float, **columns: bytes) -> bytes:
    found = tf.train.Example()
    found.features.feature["size"].float_list.value.append(size)
    for name, value in columns.items():
        found.features.feature[name].bytes_list.value.append(value)
    return found.SerializeToString()


def save_graph(function: Graph, folder: Path, texts: tuple[str, ...], shape: Shape) -> str:
    """A Transform graph of text columns and a size, without statistics, which nothing here needs.

    `shape` is that of each column behind the batch.
    """
    raw = {name: tf.TensorSpec((None, *shape), tf.string) for name in texts}
    raw["size"] = tf.TensorSpec((None, *shape), tf.float32)
    module = tf.Module()
    module.transform_fn = tf.function(function, input_signature=[raw], autograph=False)
    tf.saved_model.save(module, str(folder / "transform_fn"))
    return str(folder / "transform_fn")


@click.command(context_settings=HELP)
@click.option("--rows", default=2000, help="How many rows are read.")
@click.option("--rounds", default=5, help="How often each variant runs.")
@json_option
def main(rows: int, rounds: int, file: Path | None) -> None:
    """CPU seconds of embedding, and of an epoch's batches of raw rows, own and foreign."""
    with tempfile.TemporaryDirectory() as temporary:
        timings = interleaved(dict(_variants(Path(temporary), rows)), rounds, 1, time.process_time)
    found = {
        work: {
            "own": timings.median(f"{work} own"),
            "foreign": timings.median(f"{work} foreign"),
            "ratio": timings.ratio(f"{work} foreign", f"{work} own"),
        }
        for work in ("embed", "read")
    }
    title = f"CPU seconds of {rows:,} rows of {SIDE} × {SIDE} pixels"
    table = [(work, *figures.values()) for work, figures in found.items()]
    Console().print(side_by_side(title, ("", "own", "foreign", "ratio"), table))
    write_figures(file, {"rows": rows, **found})


def _variants(folder: Path, rows: int) -> Iterator[tuple[str, Callable[[], object]]]:
    specification = fused(folder)
    write_rows(folder, rows)
    features, labels = specification.features, specification.labels
    image = features["image"]
    assert isinstance(image, ImageFeature)  # noqa: S101

    def own_function(raw: dict[str, Any]) -> dict[str, Any]:
        return preprocessing_fn(raw, transform_config(features, labels))

    def foreign_function(raw: dict[str, Any]) -> dict[str, Any]:
        return {"pixels": decode_images(raw["photo"][:, 0], image), "how_large": raw["size"]}

    graphs = {
        "own": save_graph(own_function, folder / "own", ("image", "row_id"), ()),
        "foreign": save_graph(foreign_function, folder / "foreign", ("photo",), (1,)),
    }
    interfaces = {"vision": inspect_submodel(folder / "vision.keras").interface}
    copy_submodel(folder / "vision.keras", folder / "copy")
    [stage] = plan_stages(specification, build(specification, interfaces, open_interface))
    assert stage.plan is not None  # noqa: S101
    for kind, graph in graphs.items():
        names = NAMES if kind == "foreign" else None
        embedder = Embedder(stage.plan, interfaces, {"vision": folder / "copy"}, graph, names)
        path = str(next((folder / kind / "Split-train").iterdir()))
        yield f"embed {kind}", partial(_embed, embedder, path)
        transform = TransformGraph(graph, features, labels, names)
        given = RawRows(specification, transform, str(folder / kind / "Split-train"))
        batches = training_rows(specification, given, ["image"]).batches(0)
        yield f"read {kind}", partial(_read, batches)


def _embed(embedder: Embedder, path: str) -> None:
    for _ in embedder.batches(path):
        pass


def _read(batches: tf.data.Dataset) -> None:
    for _ in batches:
        pass


if __name__ == "__main__":
    main()
