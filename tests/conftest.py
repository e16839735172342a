"""What tests share: a small world of two pretrained models and a data set, made once per run."""

from __future__ import annotations

import csv
import gc
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Before TensorFlow: a process that imports them the other way round and runs an analysis of
# TensorFlow Transform crashes while Python shuts down, and with it pytest's exit code.
import apache_beam
import pytest
from made_once import once
from specs import COLOURS, WORDS, changed

if TYPE_CHECKING:
    from tfx_fusion.modules.spec import Specification

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

CLASSES = ("red", "green", "blue")
ROWS = 90
IMAGE_SHAPE = (8, 8, 3)
FUSION = Path(sys.executable).with_name("fusion")
# Pinned as in a run: Beam's DirectRunner would look for another one.
RUNNER = "apache_beam.runners.portability.fn_api_runner.FnApiRunner"
# These take minutes. They come first, or one process would still run them when others have ended.
LONGEST = (
    "scripts/test_check_image.py",
    "differential/test_differential.py",
    "kubeflow/test_example.py",
    "pipeline/test_run.py",
    "examples/test_three_shapes.py",
)
# What our code reads or sets; libraries set variables of their own when they are imported.
VARIABLES = ("KERAS_BACKEND", "KUBECONFIG", "PATH", "TMPDIR")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Orders files: the longest first, then all that have tests of components."""
    here = Path(__file__).parent
    long = {here / name: position for position, name in enumerate(LONGEST)}
    components = {item.path for item in items if item.get_closest_marker("component")}
    items.sort(key=lambda item: (long.get(item.path, len(LONGEST)), item.path not in components))


def pytest_collection_finish() -> None:
    """Leaves what the imports made out of garbage collections, of which Keras does many."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def process_state(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test neither sees what another has changed in the process, nor leaves a change itself.

    Training makes TensorFlow's ops deterministic for good, which changes the texts of some errors.
    A module's generator RANDOM draws the same numbers in a test whichever others have drawn before.
    """
    folder, variables = Path.cwd(), list(map(os.environ.get, VARIABLES))
    random = getattr(request.module, "RANDOM", None)
    drawn = random.bit_generator.state if random else None
    if "tensorflow" in sys.modules:
        from tensorflow.python.framework import config

        config.disable_op_determinism()
    yield
    if random:
        random.bit_generator.state = drawn
    assert Path.cwd() == folder
    assert list(map(os.environ.get, VARIABLES)) == variables
    if "keras" in sys.modules:
        import keras

        assert keras.config.dtype_policy().name == "float32"


def make_vision(path: Path) -> None:
    """An image network with what must stay still in a frozen model: BatchNorm and Dropout."""
    import keras

    image = keras.Input(IMAGE_SHAPE, name="image")
    tensor = keras.layers.Conv2D(4, 3, name="conv")(image)
    tensor = keras.layers.BatchNormalization(name="norm")(tensor)
    tensor = keras.layers.GlobalAveragePooling2D(name="pool")(tensor)
    tensor = keras.layers.Dropout(0.5, name="drop")(tensor)
    tensor = keras.layers.Dense(6, activation="relu", name="features")(tensor)
    tensor = keras.layers.Dense(3, activation="softmax", name="probabilities")(tensor)
    keras.Model(image, tensor, name="vision").save(path)


def make_text(path: Path) -> None:
    """A text network, exported as a SavedModel with two named outputs."""
    import keras

    tokens = keras.Input((len(WORDS),), name="tokens")
    features = keras.layers.Dense(4, activation="relu", name="features")(tokens)
    dropped = keras.layers.Dropout(0.5)(features)
    chances = keras.layers.Dense(3, activation="softmax", name="probabilities")(dropped)
    model = keras.Model(tokens, {"features": features, "probabilities": chances}, name="text")
    model.export(path, verbose=False)


def make_data(folder: Path) -> None:
    """Rows whose image and words both show the colour."""
    import numpy as np
    import tensorflow as tf

    (folder / "images").mkdir(parents=True)
    random = np.random.default_rng(5)
    with (folder / "rows.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["id", "image_path", "transcript", "colour"])
        for number in range(ROWS):
            colour = int(random.integers(3))
            pixels = random.integers(0, 120, IMAGE_SHAPE)
            pixels[..., colour] += 100
            name = f"images/{number}.png"
            (folder / name).write_bytes(tf.io.encode_png(pixels.astype("uint8")).numpy())
            words = f"Rather, {CLASSES[colour]}!" if number % 2 else f"very {CLASSES[colour]}"
            writer.writerow([number, name, words, CLASSES[colour]])


def make_world(folder: Path) -> None:
    """Two models, their data and a specification that fuses them."""
    import keras

    keras.utils.set_random_seed(3)
    (folder / "models").mkdir(parents=True)
    make_vision(folder / "models" / "vision.keras")
    make_text(folder / "models" / "text")
    (folder / "models" / "words.txt").write_text("\n".join(WORDS) + "\n")
    make_data(folder / "data")
    (folder / "fusion.yaml").write_text(COLOURS)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all processes of a test run share: pytest-xdist gives each one of its own."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session")
def shared_world(shared_folder: Path) -> Path:
    """Made once; read only. `world` gives a copy to change."""
    return once(shared_folder / "world", make_world)


@dataclass(frozen=True)
class TrainingInputs:
    """What the trainer reads: tf.Examples by split, and the folder of a Transform graph."""

    splits: dict[str, Path]
    transform_graph: Path

    @classmethod
    def of(cls, folder: Path) -> TrainingInputs:
        """Those that `make_training_inputs` made."""
        splits = {split: folder / "examples" / f"Split-{split}" for split in ("train", "eval")}
        return cls(splits, folder / "transform")


def write_examples(specification: Specification, folder: Path) -> dict[str, Path]:
    """The rows of a specification's CSV file as tf.Examples, two thirds of them to train on."""
    import tensorflow as tf

    from tfx_fusion.modules.data.rows import RowParser

    data = specification.data.path
    parser = RowParser(specification.features, specification.labels, data.parent)
    with data.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    splits = {}
    border = len(rows) * 2 // 3
    for split, numbers in (("train", range(border)), ("eval", range(border, len(rows)))):
        splits[split] = folder / f"Split-{split}"
        splits[split].mkdir(parents=True)
        file = splits[split] / "data_tfrecord-00000-of-00001"
        with tf.io.TFRecordWriter(str(file)) as writer:
            for number in numbers:
                writer.write(parser.example(f"row {number}", rows[number]).SerializeToString())
    return splits


def analyse(specification: Specification, examples: Path, folder: Path) -> Path:
    """A Transform graph over tf.Examples, as TFX's Transform writes it."""
    import tensorflow as tf
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata
    from tensorflow_transform.tf_metadata.schema_utils import schema_as_feature_spec

    from tfx_fusion.modules.data.schema import implied_schema
    from tfx_fusion.modules.preprocessing.transform import preprocessing_fn, transform_config

    features, labels = specification.features, specification.labels
    schema = implied_schema(features, labels)
    spec = schema_as_feature_spec(schema).feature_spec
    rows = [
        {name: tensor.numpy() for name, tensor in tf.io.parse_single_example(record, spec).items()}
        for record in tf.data.TFRecordDataset([str(file) for file in examples.iterdir()])
    ]
    config = transform_config(features, labels)
    with (
        apache_beam.Pipeline(runner=RUNNER) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "temporary")),
    ):
        data = (pipeline | apache_beam.Create(rows), DatasetMetadata(schema))
        analysed = data | tft_beam.AnalyzeDataset(partial(preprocessing_fn, custom_config=config))
        _ = analysed | tft_beam.WriteTransformFn(str(folder))
    return folder


def make_training_inputs(specification: Specification, folder: Path) -> None:
    """What the trainer reads, from a specification's CSV file by the real analysis."""
    splits = write_examples(specification, folder / "examples")
    analyse(specification, splits["train"], folder / "transform")


@pytest.fixture(scope="session")
def prepare_training(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[Specification], TrainingInputs]:
    """Makes what the trainer reads from a specification's CSV file."""

    def prepare(specification: Specification) -> TrainingInputs:
        folder = tmp_path_factory.mktemp("training_inputs")
        make_training_inputs(specification, folder)
        return TrainingInputs.of(folder)

    return prepare


@pytest.fixture(scope="session")
def shared_training_inputs(shared_folder: Path, shared_world: Path) -> TrainingInputs:
    """What the trainer reads for the shared world; made once, read only."""
    from tfx_fusion.modules.spec import load_specification

    specification = load_specification(shared_world / "fusion.yaml")
    make = partial(make_training_inputs, specification)
    return TrainingInputs.of(once(shared_folder / "training_inputs", make))


@pytest.fixture(scope="session")
def shared_published(
    shared_folder: Path, shared_world: Path, shared_training_inputs: TrainingInputs
) -> Path:
    """A publish folder with version 1 of the shared world's model; made once, read only."""

    def make(folder: Path) -> None:
        train_version(shared_world, shared_training_inputs, folder)

    return once(shared_folder / "published", make) / "serving"


def train_version(world: Path, inputs: TrainingInputs, folder: Path) -> None:
    """Trains a world's model as version 1 of a publish folder."""
    from tfx_fusion.modules.embedding.plan import StagePlan
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.modules.submodels.inspection import copy_submodel, inspect_submodel
    from tfx_fusion.modules.training.checkpoint import Checkpoint
    from tfx_fusion.modules.training.run import fuse_and_train

    specification = load_specification(world / "fusion.yaml")
    paths = {name: path for name, (_, path) in specification.imported().items()}
    for name, path in paths.items():
        copy_submodel(path, folder / "submodels" / name)
    fuse_and_train(
        specification,
        interfaces={name: inspect_submodel(path).interface for name, path in paths.items()},
        submodels={name: folder / "submodels" / name for name in paths},
        submodel_digests=dict.fromkeys(paths, ""),
        transform_path=str(inputs.transform_graph / "transform_fn"),
        splits={split: str(path) for split, path in inputs.splits.items()},
        stages=[StagePlan(plan=None) for _ in specification.training.stages],
        embeddings=[],
        model_path=folder / "serving" / "1",
        record_path=folder / "record",
        checkpoint=Checkpoint(folder / "checkpoint"),
    )


@dataclass(frozen=True)
class Addresses:
    """Where a server listens."""

    grpc: str
    rest: str


@pytest.fixture(scope="session")
def served_colours(shared_published: Path) -> Iterator[Addresses]:
    """`fusion serve` in a process of its own, which must end with 0 when it is asked to."""
    command = [str(FUSION), "serve", str(shared_published), "--grpc-port", "0", "--rest-port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        line = server.stdout.readline()
        found = re.fullmatch(r"serving colours over gRPC (\S+), REST (\S+)\n", line)
        assert found, line
        yield Addresses(f"grpc://{found[1]}", f"http://{found[2]}")
        server.terminate()
        assert server.wait(60) == 0


@pytest.fixture(scope="session")
def embed() -> Callable[..., list[str]]:
    """Writes the embedded rows of every distinct plan with Beam; returns their folders."""
    from tfx_fusion.modules.embedding.embedder import Embedder
    from tfx_fusion.modules.embedding.plan import distinct_plans
    from tfx_fusion.modules.embedding.write import collect, write_embeddings

    def run(
        stages: Any, interfaces: Any, submodels: Any, inputs: TrainingInputs, folder: Path
    ) -> list[str]:
        transform = str(inputs.transform_graph / "transform_fn")
        given = {split: str(path) for split, path in inputs.splits.items()}
        folders = []
        for position, plan in enumerate(distinct_plans(stages)):
            folders.append(str(folder / f"embeddings_{position}"))
            make = partial(Embedder, plan, interfaces, submodels, transform)
            wanted = {split: f"{folders[-1]}/Split-{split}" for split in given}
            with apache_beam.Pipeline(runner=RUNNER) as pipeline:
                write_embeddings(pipeline, make, given, wanted, f"{folders[-1]}/shards")
            collect(plan, f"{folders[-1]}/shards", folders[-1])
        return folders

    return run


@pytest.fixture(scope="session")
def copy_world(shared_world: Path) -> Callable[[Path], Path]:
    """Copies the shared world to a folder where its sub-models were inspected already.

    Each first command in a copy would start a process for that, which imports TensorFlow.
    """
    from tfx_fusion.modules.files import write_text
    from tfx_fusion.modules.spec import load_specification
    from tfx_fusion.modules.submodels.inspection import inspect_submodel
    from tfx_fusion.modules.submodels.inspection_cache import InspectionCache
    from tfx_fusion.pipeline.prepare import Workplace

    imported = load_specification(shared_world / "fusion.yaml").imported()
    inspections = {name: inspect_submodel(path) for name, (_, path) in imported.items()}

    def copy(folder: Path) -> Path:
        shutil.copytree(shared_world, folder)
        file = folder / "fusion.yaml"
        cache = InspectionCache(Workplace.of(file).known_submodels)
        for name, (submodel, path) in load_specification(file).imported().items():
            write_text(cache._record(submodel, path), inspections[name].model_dump_json())
        return folder

    return copy


@pytest.fixture
def world(copy_world: Callable[[Path], Path], tmp_path: Path) -> Path:
    """A folder with `fusion.yaml`, `data/rows.csv` and `models/`, to change at will."""
    return copy_world(tmp_path / "world")


@pytest.fixture
def write_specification(tmp_path: Path) -> Callable[..., Path]:
    """Writes the small specification with pieces of its text replaced: `(old, new), …`."""

    def write(*changes: tuple[str, str], folder: Path = tmp_path) -> Path:
        path = folder / "fusion.yaml"
        path.write_text(changed(COLOURS, *changes))
        return path

    return write
